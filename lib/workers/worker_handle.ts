import { messageOf, TightropeError } from "../domain/errors.ts";
import type { Random } from "../env/random.ts";
import { eventsPerGrant, fromPortableError, type FromWorker, type ToWorker } from "./port.ts";
import type { WorkerRights } from "./rights.ts";

// Every deno command on a checkout puts the stand-ins of lib/npm into node_modules afresh, deleting them for a millisecond:
// a worker that loads its modules just then finds one missing. It has done nothing yet, so it can be started once more.
const startAttempts = 4;
const startAgainMs = 150;

interface Call {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

/**
 * Main's end of a sandboxed worker.
 * A worker that throws, or reports events that it was granted no credit for, is ended; `died` then rejects, as do all its
 * pending calls. A worker that was ready is never started again: main has no rights left to give.
 */
export class WorkerHandle {
  readonly name: string;
  /** Never resolves; rejects when the worker is lost. */
  readonly died: Promise<never>;
  /**
   * Resolves when the worker has loaded all of its modules; rejects when it is lost before. Until then main must keep its
   * rights: a worker loads its modules with them, and may be started once more.
   */
  readonly ready: Promise<void>;
  readonly #entry: URL;
  readonly #rights: WorkerRights;
  readonly #random: Random;
  readonly #calls = new Map<number, Call>();
  readonly #grants = new Map<string, number>();
  #onEvent: (event: unknown) => void = () => {};
  #fail: (error: Error) => void = () => {};
  #becomeReady: () => void = () => {};
  #worker: Worker;
  #isReady = false;
  #startsLeft = startAttempts;
  #startAgain: ReturnType<typeof setTimeout> | undefined;
  #nextId = 1;
  #ended = false;

  constructor(name: string, entry: URL, rights: WorkerRights, random: Random) {
    this.name = name;
    this.#entry = entry;
    this.#rights = rights;
    this.#random = random;
    const { promise, reject } = Promise.withResolvers<never>();
    this.died = promise;
    // Whoever cares awaits it; without anybody the loss shows in the pending calls.
    promise.catch(() => {});
    const ready = Promise.withResolvers<void>();
    this.ready = ready.promise;
    ready.promise.catch(() => {});
    this.#becomeReady = ready.resolve;
    this.#fail = (error) => {
      if (this.#ended) return;
      this.#end(error);
      ready.reject(error);
      reject(error);
    };
    this.#worker = this.#start();
  }

  #start(): Worker {
    const rights = this.#rights;
    const worker = new Worker(this.#entry, {
      type: "module",
      name: this.name,
      deno: {
        permissions: {
          net: rights.net === undefined ? false : rights.net === true ? true : [...rights.net],
          read: rights.read === undefined ? false : [...rights.read],
          write: rights.write === undefined ? false : [...rights.write],
          sys: rights.sys === undefined ? false : [...rights.sys],
          env: false,
          run: false,
          ffi: false,
          import: false,
        },
      },
    });
    this.#worker = worker;
    this.#startsLeft--;
    worker.onmessage = (message: MessageEvent<FromWorker>) => this.#receive(message.data);
    worker.onerror = (event) => {
      event.preventDefault();
      if (this.#isReady || this.#startsLeft === 0) return this.#fail(this.#lost(event.message));
      worker.onmessage = worker.onerror = worker.onmessageerror = null;
      worker.terminate();
      this.#startAgain = setTimeout(() => this.#startOnceMore(), startAgainMs);
    };
    worker.onmessageerror = () => this.#fail(this.#lost("a message couldn't be read"));
    this.#grants.clear();
    this.#grant();
    return worker;
  }

  #startOnceMore(): void {
    try {
      this.#start();
    } catch (error) {
      this.#fail(this.#lost(messageOf(error)));
    }
  }

  /** Whether the worker is gone, lost or ended by us. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Events of the worker, in order, from now on. */
  onEvent(handler: (event: unknown) => void): void {
    this.#onEvent = handler;
  }

  /** Calls a method that the worker serves. */
  async call(method: string, ...args: readonly unknown[]): Promise<unknown> {
    await this.ready;
    if (this.#ended) throw this.#lost("it was ended");
    const id = this.#nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#calls.set(id, { resolve, reject });
    this.#post({ kind: "call", id, method, args });
    return await promise;
  }

  /** Calls a method without waiting for anything. */
  tell(method: string, ...args: readonly unknown[]): void {
    if (!this.#ended) this.#post({ kind: "tell", method, args });
  }

  /** Ends the worker at once. `died` stays pending: this loss was wanted. */
  terminate(): void {
    if (!this.#ended) this.#end(this.#lost("it was ended"));
  }

  #end(error: Error): void {
    this.#ended = true;
    clearTimeout(this.#startAgain);
    this.#worker.terminate();
    for (const call of this.#calls.values()) call.reject(error);
    this.#calls.clear();
  }

  #post(message: ToWorker): void {
    this.#worker.postMessage(message);
  }

  // The name of a grant can't be guessed, so a worker that floods ahead of its credit betrays itself.
  #grant(): void {
    const grant = this.#random.bytes(16).toHex();
    this.#grants.set(grant, eventsPerGrant);
    this.#post({ kind: "grant", grant, events: eventsPerGrant });
  }

  #receive(message: FromWorker): void {
    if (this.#ended) return;
    switch (message.kind) {
      case "ready":
        this.#isReady = true;
        this.#becomeReady();
        break;
      case "result":
      case "error": {
        const call = this.#calls.get(message.id);
        if (call === undefined) return this.#fail(this.#lost("it answered a call that nobody made"));
        this.#calls.delete(message.id);
        if (message.kind === "result") call.resolve(message.value);
        else call.reject(fromPortableError(message.error));
        break;
      }
      case "event": {
        const left = this.#grants.get(message.grant);
        if (left === undefined) return this.#fail(this.#lost("it reported more than it was allowed to"));
        if (left === 1) this.#grants.delete(message.grant);
        else this.#grants.set(message.grant, left - 1);
        if (left === eventsPerGrant / 2) this.#grant();
        try {
          this.#onEvent(message.event);
        } catch (error) {
          this.#fail(this.#lost(messageOf(error)));
        }
        break;
      }
      default:
        this.#fail(this.#lost("it sent a message of no known kind"));
    }
  }

  #lost(why: string): TightropeError {
    return new TightropeError(
      "temporary",
      `The ${this.name} worker is lost: ${why}`,
      "Start the program again (a supervisor such as systemd does so by itself); the logs are intact",
    );
  }
}
