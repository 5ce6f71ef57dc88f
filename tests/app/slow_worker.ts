/** The program, one of whose workers is loaded from another file; the query of this module's address says which and where. */
const { worker, entry: slow } = Object.fromEntries(new URL(import.meta.url).searchParams);
const RealWorker = globalThis.Worker;
globalThis.Worker = class extends RealWorker {
  constructor(entry: string | URL, options?: WorkerOptions) {
    super(options?.name === worker ? slow! : entry, options);
  }
};
await import("../../main.ts");
