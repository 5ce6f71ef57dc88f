/** A second signal counts only after this: Ctrl-C under a task runner arrives twice at once. */
const repeatAfterMs = 1_000;

/** Windows knows no SIGTERM. */
const signals: readonly Deno.Signal[] = Deno.build.os === "windows" ? ["SIGINT", "SIGBREAK"] : ["SIGINT", "SIGTERM"];

/**
 * At this signal Deno listens for a debugger on a loopback port, which any user of the machine may then use. It can't be told
 * not to, and to close that port would take a right that main doesn't have.
 */
const debuggerSignal: Deno.Signal = "SIGUSR1";

/** The operator's wish to stop, from signals. */
export class StopSignals implements Disposable {
  /** Resolves with the first signal. */
  readonly first: Promise<Deno.Signal>;
  /** Resolves with one that comes at least a second after the first: end at once. */
  readonly second: Promise<Deno.Signal>;
  /** Resolves when the runtime has opened itself to a debugger: end at once. */
  readonly debuggerOpened: Promise<Deno.Signal>;
  readonly #listeners: readonly { signal: Deno.Signal; listener: () => void }[];

  constructor() {
    const first = Promise.withResolvers<Deno.Signal>();
    const second = Promise.withResolvers<Deno.Signal>();
    const debuggerOpened = Promise.withResolvers<Deno.Signal>();
    this.first = first.promise;
    this.second = second.promise;
    this.debuggerOpened = debuggerOpened.promise;
    let firstAtMs: number | undefined;
    const stops = signals.map((signal) => ({
      signal,
      listener: () => {
        const nowMs = performance.now();
        firstAtMs ??= nowMs;
        first.resolve(signal);
        if (nowMs - firstAtMs >= repeatAfterMs) second.resolve(signal);
      },
    }));
    const traps = Deno.build.os === "windows"
      ? []
      : [{ signal: debuggerSignal, listener: () => debuggerOpened.resolve(debuggerSignal) }];
    this.#listeners = [...stops, ...traps];
    for (const { signal, listener } of this.#listeners) Deno.addSignalListener(signal, listener);
  }

  [Symbol.dispose](): void {
    for (const { signal, listener } of this.#listeners) Deno.removeSignalListener(signal, listener);
  }
}
