// The sending end of black_hole_test.ts, on Deno: commands as JSON lines on stdin, events as JSON lines on stdout.
import { createHash } from "node:crypto";
import { UDX } from "../../../lib/udx/mod.ts";
import { TextLineStream } from "../text_lines.ts";

const [host, remoteHost] = Deno.args;
const print = (event: unknown) => console.log(JSON.stringify(event));
const udx = new UDX();
const socket = udx.createSocket();
socket.bind(0, host);
print({ kind: "bound", port: socket.address()!.port });
const stream = udx.createStream(1);
stream.on("error", (error: Error) => print({ kind: "error", message: error.message }));
const hash = createHash("sha256");

async function write(bytes: number): Promise<void> {
  const chunk = crypto.getRandomValues(new Uint8Array(bytes));
  hash.update(chunk);
  if (stream.write(chunk)) return;
  await new Promise((resolve) => stream.once("drain", resolve).once("close", resolve));
}

for await (const line of Deno.stdin.readable.pipeThrough(new TextLineStream())) {
  const { kind, port } = JSON.parse(line);
  if (kind === "connect") {
    stream.connect(socket, 2, port, remoteHost);
    while (stream.mtu < 1500) {
      await write(50_000);
      await stream.flush();
    }
    print({ kind: "grown" });
    // Goes on, so that large packets are under way when the path shrinks.
    for (let i = 0; i < 600; i++) {
      await write(4000);
      if (i % 3 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await stream.flush();
    const { mtu, retransmits, rtoCount } = stream;
    print({ kind: "flushed", mtu, retransmits, rtoCount, sha256: hash.digest("hex") });
    stream.resume().end();
  }
}
stream.destroy();
await socket.close();
