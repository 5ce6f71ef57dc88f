/**
 * Two hosts with a router between them, as Linux network namespaces: its far link's MTU shrinks on command. Needs root,
 * `ip` (iproute2) and `nft` (nftables). The machine's own network isn't touched.
 */

export type Place = "sender" | "router" | "receiver";

export const hosts = { sender: "192.0.2.2", receiver: "198.51.100.2" } as const;
const routerHosts = { sender: "192.0.2.1", receiver: "198.51.100.1" } as const;

/** Why the namespaces can't be had here, or null. */
export async function whyNoNamespaces(): Promise<string | null> {
  if (Deno.build.os !== "linux") return "only Linux has network namespaces";
  if (Deno.uid() !== 0) return "needs root";
  const name = uniquePrefix();
  for (const command of ["ip -V", "nft -v", `ip netns add ${name}`, `ip netns del ${name}`]) {
    try {
      await run(...command.split(" "));
    } catch (error) {
      return (error as Error).message;
    }
  }
  return null;
}

function uniquePrefix(): string {
  return `mtu${crypto.getRandomValues(new Uint8Array(4)).toHex()}`;
}

async function run(...words: string[]): Promise<void> {
  const [command, ...args] = words;
  const { success, stderr } = await new Deno.Command(command!, { args, stdout: "null", stderr: "piped" }).output();
  if (!success) throw new Error(`\`${words.join(" ")}\` fails: ${new TextDecoder().decode(stderr).trim()}`);
}

export class BlackHoleNetwork implements AsyncDisposable {
  readonly #prefix = uniquePrefix();
  readonly #names: string[] = [];

  /** @param tellsSenders does the router answer what is too large with ICMP's "fragmentation needed" */
  static async create(tellsSenders: boolean): Promise<BlackHoleNetwork> {
    const network = new BlackHoleNetwork();
    try {
      await network.#build(tellsSenders);
    } catch (error) {
      await network[Symbol.asyncDispose]();
      throw error;
    }
    return network;
  }

  /** The words that run a command at a place. */
  at(place: Place, ...words: string[]): [string, ...string[]] {
    return ["ip", "netns", "exec", this.#name(place), ...words];
  }

  /** From now on the way from the sender to the receiver carries IP packets up to that size. */
  async shrink(mtuBytes: number): Promise<void> {
    await run(...this.at("router", "ip", "link", "set", "receiver", "mtu", String(mtuBytes)));
  }

  async #build(tellsSenders: boolean): Promise<void> {
    for (const place of ["sender", "router", "receiver"] as const) {
      await run("ip", "netns", "add", this.#name(place));
      this.#names.push(this.#name(place));
      await run(...this.at(place, "ip", "link", "set", "lo", "up"));
    }
    for (const place of ["sender", "receiver"] as const) {
      const [near, far] = [this.#name(place), this.#name("router")];
      await run(
        ...["ip", "-n", near, "link", "add", "router", "type", "veth", "peer", "name", place, "netns", far],
      );
      await run("ip", "-n", near, "address", "add", `${hosts[place]}/24`, "dev", "router");
      await run("ip", "-n", far, "address", "add", `${routerHosts[place]}/24`, "dev", place);
      await run("ip", "-n", near, "link", "set", "router", "up");
      await run("ip", "-n", far, "link", "set", place, "up");
      await run("ip", "-n", near, "route", "add", "default", "via", routerHosts[place]);
    }
    await run(...this.at("router", "sysctl", "-qw", "net.ipv4.ip_forward=1"));
    if (tellsSenders) return;
    await run(
      ...this.at("router", "nft", "add table ip t; add chain ip t out { type filter hook output priority 0; }"),
    );
    await run(...this.at("router", "nft", "add rule ip t out icmp type destination-unreachable drop"));
  }

  #name(place: Place): string {
    return `${this.#prefix}-${place}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const name of this.#names.splice(0)) await run("ip", "netns", "del", name);
  }
}
