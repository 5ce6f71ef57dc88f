import type { DatagramSocket } from "../../lib/udx/mod.ts";

/** A datagram socket without a network: gives what is put into it, and notes where it sends. */
export class HandSocket implements DatagramSocket {
  readonly addr = { transport: "udp", hostname: "127.0.0.1", port: 4000 } as const;
  /** Where datagrams went, oldest first. */
  readonly ports: number[] = [];
  readonly #isStuck: boolean;
  readonly #stuck = Promise.withResolvers<number>();
  #give: ((datagram: [Uint8Array, Deno.Addr]) => void) | null = null;
  #fail: (error: Error) => void = () => {};

  /** @param options.isStuck all sends after the first never finish */
  constructor(options: { readonly isStuck?: boolean } = {}) {
    this.#isStuck = options.isStuck === true;
  }

  get sends(): number {
    return this.ports.length;
  }

  send(bytes: Uint8Array, to: Deno.NetAddr): Promise<number> {
    this.ports.push(to.port);
    return this.#isStuck && this.ports.length > 1 ? this.#stuck.promise : Promise.resolve(bytes.length);
  }

  receive(): Promise<[Uint8Array, Deno.Addr]> {
    return new Promise((resolve, reject) => {
      this.#give = resolve;
      this.#fail = reject;
    });
  }

  /** Lets a datagram arrive, and waits until it has been answered. */
  async put(bytes: Uint8Array, port = 5000): Promise<void> {
    this.#give?.([bytes, { transport: "udp", hostname: "127.0.0.1", port }]);
    await this.settled();
  }

  /** A batch of datagrams has been read and answered. */
  async settled(): Promise<void> {
    for (let i = 0; i < 2; i++) await new Promise((resolve) => setImmediate(resolve));
  }

  close(): void {
    this.#stuck.resolve(0);
    this.#fail(new Deno.errors.BadResource("closed"));
  }
}
