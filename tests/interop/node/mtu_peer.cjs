// The receiving end of black_hole_test.ts, udx-native under Node.
const { createHash } = require("node:crypto");
const readline = require("node:readline");
const UDX = require("udx-native");

const [host, remoteHost] = process.argv.slice(-2);
const print = (event) => process.stdout.write(JSON.stringify(event) + "\n");
const udx = new UDX();
const socket = udx.createSocket();
socket.bind(0, host);
print({ kind: "bound", port: socket.address().port });
const stream = udx.createStream(2);
const hash = createHash("sha256");
let bytes = 0;
stream.on("data", (data) => {
  hash.update(data);
  bytes += data.length;
});
stream.on("end", () => {
  print({ kind: "end", bytes, sha256: hash.digest("hex") });
  stream.end();
});
stream.on("error", (error) => print({ kind: "error", message: error.message }));

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const { kind, port } = JSON.parse(line);
  if (kind === "connect") stream.connect(socket, 1, port, remoteHost);
}).on("close", async () => {
  stream.destroy();
  await socket.close();
});
