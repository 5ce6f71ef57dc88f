/** The program, one of whose workers (by the query of this module's address) throws when SIGUSR2 comes. */
const name = new URL(import.meta.url).searchParams.get("worker");
const RealWorker = globalThis.Worker;
globalThis.Worker = class extends RealWorker {
  constructor(entry: string | URL, options?: WorkerOptions) {
    super(entry, options);
    if (options?.name !== name) return;
    // A method that it doesn't have, called without waiting for an answer: nobody catches what that throws.
    Deno.addSignalListener("SIGUSR2", () => this.postMessage({ kind: "tell", method: "die", args: [] }));
  }
};
await import("../../main.ts");
