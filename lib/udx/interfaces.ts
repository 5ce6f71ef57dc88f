/** The machine's network interfaces and their changes: an edge, since it asks the system and polls by a timer. */
import { EventEmitter } from "node:events";
import { networkInterfaces } from "node:os";
import { clearInterval, setInterval } from "node:timers";
import type { Family } from "./ip.ts";

export interface NetworkInterface {
  readonly name: string;
  readonly host: string;
  readonly family: Family;
  readonly internal: boolean;
}

/** As often as udx-native looks. */
const POLL_INTERVAL_MS = 5000;

/** Every address of every interface. @throws when the permission `sys: networkInterfaces` is missing */
export function listNetworkInterfaces(): NetworkInterface[] {
  const found: NetworkInterface[] = [];
  for (const [name, addresses] of Object.entries(networkInterfaces())) {
    for (const { address, family, internal } of addresses ?? []) {
      found.push({ name, host: address, family: family === "IPv6" ? 6 : 4, internal });
    }
  }
  return found;
}

/**
 * Watches the interfaces: `interfaces` is the current list, `change` (list) and `close` are its events. While it watches
 * it keeps the process alive, as udx-native's does.
 */
export class NetworkInterfaces extends EventEmitter {
  interfaces: NetworkInterface[];
  readonly #list: () => NetworkInterface[];
  readonly #intervalMs: number;
  #timer: ReturnType<typeof setInterval> | null = null;
  #destroying: Promise<void> | null = null;

  /** @param list asks the system @param intervalMs how often */
  constructor(list = listNetworkInterfaces, intervalMs = POLL_INTERVAL_MS) {
    super();
    this.#list = list;
    this.#intervalMs = intervalMs;
    this.interfaces = list();
  }

  watch(): this {
    if (this.#timer === null && this.#destroying === null) {
      this.#timer = setInterval(() => this.#poll(), this.#intervalMs);
    }
    return this;
  }

  unwatch(): this {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    return this;
  }

  /** Stops watching; resolves after `close`. */
  destroy(): Promise<void> {
    this.unwatch();
    this.#destroying ??= new Promise((resolve) => {
      queueMicrotask(() => {
        this.emit("close");
        resolve();
      });
    });
    return this.#destroying;
  }

  #poll(): void {
    const before = fingerprint(this.interfaces);
    const now = this.#list();
    if (fingerprint(now) === before) return;
    this.interfaces = now;
    this.emit("change", now);
  }

  [Symbol.iterator](): Iterator<NetworkInterface> {
    return this.interfaces[Symbol.iterator]();
  }
}

/** The order in which the system lists addresses isn't a change. */
function fingerprint(interfaces: readonly NetworkInterface[]): string {
  return interfaces.map(({ name, host }) => `${name} ${host}`).sort().join("\n");
}
