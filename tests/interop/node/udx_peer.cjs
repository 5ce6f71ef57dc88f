// The udx-native end of udx_test.ts: commands as JSON lines on stdin, events as JSON lines on stdout.
const { createHash } = require("node:crypto");
const readline = require("node:readline");
const UDX = require("udx-native");

const print = (event) => process.stdout.write(JSON.stringify(event) + "\n");
const udx = new UDX();
const socket = udx.createSocket();
socket.bind(0, "127.0.0.1");
print({ kind: "bound", port: socket.address().port });

const streams = new Map();

function open({ id, remoteId, port, keepalive }) {
  const stream = udx.createStream(id);
  const received = createHash("sha256");
  let bytes = 0;
  streams.set(id, stream);
  stream.on("data", (data) => {
    received.update(data);
    bytes += data.length;
  });
  stream.on(
    "end",
    () => print({ kind: "end", id, bytes, sha256: received.digest("hex") }),
  );
  stream.on(
    "message",
    (message) => print({ kind: "message", id, hex: Buffer.from(message).toString("hex") }),
  );
  stream.on("remote-changed", () => print({ kind: "remote-changed", id }));
  let code = null;
  stream.on("error", (error) => code = error.code);
  stream.on("close", () => print({ kind: "close", id, code }));
  if (keepalive) stream.setKeepalive(keepalive);
  stream.connect(socket, remoteId, port, "127.0.0.1");
  print({ kind: "opened", id });
}

// Two streams that pass everything on to each other.
function relay({ streams: ends }) {
  const [a, b] = ends.map(({ id, remoteId, port }) => {
    const stream = udx.createStream(id);
    streams.set(id, stream);
    stream.on("error", () => {});
    stream.on("close", () => print({ kind: "close", id }));
    stream.connect(socket, remoteId, port, "127.0.0.1");
    return stream;
  });
  a.relayTo(b);
  b.relayTo(a);
  print({ kind: "relaying" });
}

function write({ id, bytes }) {
  const stream = streams.get(id);
  const sent = createHash("sha256");
  let chunk = createHash("sha512").update(`node ${id}`).digest();
  chunk = Buffer.concat(new Array(512).fill(chunk));
  let left = bytes;
  const next = () => {
    while (left > 0) {
      chunk = Buffer.from(chunk);
      chunk.writeUInt32LE(left, left % 1000);
      const part = chunk.subarray(0, Math.min(left, chunk.length));
      left -= part.length;
      sent.update(part);
      if (!stream.write(part)) return stream.once("drain", next);
    }
    print({ kind: "written", id, sha256: sent.digest("hex") });
  };
  next();
}

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const command = JSON.parse(line);
  const stream = streams.get(command.id);
  switch (command.kind) {
    case "open":
      return open(command);
    case "relay":
      return relay(command);
    case "changeRemote":
      return void stream.changeRemote(socket, command.remoteId, command.port, "127.0.0.1");
    case "write":
      return write(command);
    case "end":
      return stream.end();
    case "destroy":
      return stream.destroy();
    case "message":
      return stream.trySend(Buffer.from(command.hex, "hex"));
  }
}).on("close", async () => {
  for (const stream of streams.values()) stream.destroy();
  await socket.close();
});
