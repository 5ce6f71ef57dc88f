/** A second signal counts only after this: Ctrl-C under a task runner arrives twice at once. */
const repeatAfterMs = 1_000;

/** Windows knows no SIGTERM. */
const signals: readonly Deno.Signal[] = Deno.build.os === "windows" ? ["SIGINT", "SIGBREAK"] : ["SIGINT", "SIGTERM"];

/** The operator's wish to stop, from signals. */
export class StopSignals implements Disposable {
  /** Resolves with the first signal. */
  readonly first: Promise<Deno.Signal>;
  /** Resolves with one that comes at least a second after the first: end at once. */
  readonly second: Promise<Deno.Signal>;
  readonly #listeners: readonly { signal: Deno.Signal; listener: () => void }[];

  constructor() {
    const first = Promise.withResolvers<Deno.Signal>();
    const second = Promise.withResolvers<Deno.Signal>();
    this.first = first.promise;
    this.second = second.promise;
    let firstAtMs: number | undefined;
    this.#listeners = signals.map((signal) => ({
      signal,
      listener: () => {
        const nowMs = performance.now();
        firstAtMs ??= nowMs;
        first.resolve(signal);
        if (nowMs - firstAtMs >= repeatAfterMs) second.resolve(signal);
      },
    }));
    for (const { signal, listener } of this.#listeners) Deno.addSignalListener(signal, listener);
  }

  [Symbol.dispose](): void {
    for (const { signal, listener } of this.#listeners) Deno.removeSignalListener(signal, listener);
  }
}
