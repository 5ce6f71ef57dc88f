import { LightningError } from "../../lib/lightning/node.ts";
import { LndNode } from "../../lib/lightning/lnd/client.ts";

/** Calls GetInfo once for each line that it reads, each time over an idle connection. Arguments: socket, certificate. */
const [socket, certificatePem] = Deno.args;
const node = new LndNode({
  type: "lnd",
  socket: socket!,
  tlsServerName: "localhost",
  cert: { kind: "inline", value: certificatePem! },
  macaroon: { kind: "inline", value: "0201" },
}, { timings: { backoffMinMs: 5, backoffMaxMs: 10 } });

/** A call that is under way when the server sends the connection away is lost; the next one isn't. */
async function alias(): Promise<string> {
  for (;;) {
    try {
      return (await node.getInfo()).alias;
    } catch (error) {
      if (!(error instanceof LightningError) || error.kind !== "unavailable") throw error;
    }
  }
}

const lines = Deno.stdin.readable.pipeThrough(new TextDecoderStream());
for await (const _ of lines) {
  await Deno.stdout.write(new TextEncoder().encode(`${await alias()}\n`));
}
await node.close();
