/** A worker that tries whatever its caller names, to show what its rights let through. */
import { messageOf } from "../../lib/domain/errors.ts";
import { servePort } from "../../lib/workers/serve_port.ts";

/** `done` and what came of it, or the name of the error that stopped it. */
async function attempt(what: () => unknown): Promise<string> {
  try {
    const value = await what();
    return value === undefined ? "undefined" : "done";
  } catch (error) {
    return error instanceof Error ? error.name : messageOf(error);
  }
}

const port = servePort<number>({
  read: (path: string) => attempt(() => Deno.readTextFile(path)),
  write: (path: string) => attempt(() => Deno.writeTextFile(path, "x").then(() => true)),
  connect: (hostname: string, port: number) =>
    attempt(async () => {
      (await Deno.connect({ hostname, port })).close();
      return true;
    }),
  listen: () =>
    attempt(() => {
      Deno.listen({ hostname: "127.0.0.1", port: 0 }).close();
      return true;
    }),
  env: (name: string) => attempt(() => Deno.env.get(name)),
  run: () => attempt(() => new Deno.Command("true").output()),
  ffi: () => attempt(() => Deno.dlopen("/lib/x86_64-linux-gnu/libc.so.6", {})),
  sys: () => attempt(() => Deno.hostname()),
  interfaces: () => attempt(() => Deno.networkInterfaces()),
  import: () => attempt(() => import("data:text/javascript,export default 1")),
  escalate: () =>
    attempt(() => {
      const url = URL.createObjectURL(new Blob(["self.close()"]));
      new Worker(url, { type: "module", deno: { permissions: { run: true } } }).terminate();
      return true;
    }),
  emit: (count: number) => {
    for (let i = 0; i < count; i++) port.emit(i);
  },
  flood: () => {
    for (let i = 0; i < 2_000; i++) self.postMessage({ kind: "event", grant: "guessed", event: i });
  },
  crash: () => {
    setTimeout(() => {
      throw new Error("a bug");
    });
  },
});
