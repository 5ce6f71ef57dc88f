/// <reference no-default-lib="true" />
/// <reference lib="deno.worker" />
import { type FromWorker, toPortableError, type ToWorker } from "./port.ts";

/** What a worker offers to main: methods by name. Arguments and results are plain data. */
export type Methods = Readonly<Record<string, (...args: never[]) => unknown>>;

/** The worker's end of its port to main. */
export interface ServedPort<Event> {
  /** Reports an event, or queues it until main grants more. */
  emit(event: Event): void;
  /** What waits for credit, oldest first. */
  readonly waiting: readonly Event[];
  /** Takes back those that wait and match. */
  withdraw(matches: (event: Event) => boolean): void;
}

/** Serves `methods` to main. Call it once, at the end of a worker's entry file. */
export function servePort<Event>(methods: Methods): ServedPort<Event> {
  const post = (message: FromWorker) => self.postMessage(message);
  const grants: { grant: string; left: number }[] = [];
  let queue: Event[] = [];

  const flush = () => {
    while (queue.length > 0) {
      const current = grants[0];
      if (current === undefined) return;
      post({ kind: "event", grant: current.grant, event: queue.shift() });
      if (--current.left === 0) grants.shift();
    }
  };

  const invoke = (name: string, args: readonly unknown[]): unknown => {
    const method = Object.hasOwn(methods, name) ? methods[name] : undefined;
    if (method === undefined) throw new Error(`there is no method ${name}`);
    // The names and types agree because both sides are written against one interface.
    return (method as (...args: readonly unknown[]) => unknown)(...args);
  };

  const answer = async (id: number, name: string, args: readonly unknown[]) => {
    try {
      post({ kind: "result", id, value: await invoke(name, args) });
    } catch (error) {
      post({ kind: "error", id, error: toPortableError(error) });
    }
  };

  self.onmessage = (event: MessageEvent<ToWorker>) => {
    const message = event.data;
    if (message.kind === "call") void answer(message.id, message.method, message.args);
    else if (message.kind === "tell") invoke(message.method, message.args);
    else {
      grants.push({ grant: message.grant, left: message.events });
      flush();
    }
  };
  post({ kind: "ready" });

  return {
    emit(event) {
      queue.push(event);
      flush();
    },
    get waiting() {
      return queue;
    },
    withdraw(matches) {
      queue = queue.filter((event) => !matches(event));
    },
  };
}
