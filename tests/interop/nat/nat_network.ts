/**
 * A small internet of Linux network namespaces: two sites, each behind a gateway of its own, four routers in a row between
 * them, and a public network beside the second router. Needs root, `ip` (iproute2) and `nft` (nftables). Nothing of the
 * machine's own network is touched; every namespace is removed in the end, and with it all that is in it.
 *
 * ```
 * a --- gateway a --- r1 --- r2 --- r3 --- r4 --- gateway b --- b
 *                            |
 *                          public
 * ```
 *
 * Four routers, because hyperdht's low-TTL packets (TTL 5) must die between the two gateways.
 */

import type { Launcher } from "../dht_peer.ts";

/**
 * How a gateway maps and filters.
 *
 * - `none`: no translation; the peer has a public address
 * - `consistent`: endpoint-independent mapping, filtered by address and port
 * - `open`: endpoint-independent mapping and filtering ("full cone")
 * - `random`: a random port for each remote address and port ("symmetric"), filtered by address and port
 */
export type Nat = "none" | "consistent" | "open" | "random";

/**
 * What a gateway does with a packet that nobody behind it has asked for: `drop` and `reject` (ICMP) it by a firewall, or
 * `accept` it for itself, where nothing listens; Linux then remembers the flow as its own.
 */
export type Unasked = "drop" | "reject" | "accept";

export interface Site {
  readonly nat: Nat;
  readonly unasked?: Unasked;
}

export type Place = "a" | "b" | "public";

const routers = 4;
/** The router beside which a place is. */
const routerOf: Readonly<Record<Place, number>> = { a: 1, b: 4, public: 2 };
/** Addresses that hyperdht takes for public ones. They exist within the namespaces only. */
const netOf: Readonly<Record<Place, string>> = { a: "21.1.0", b: "21.4.0", public: "21.2.0" };
/** How many addresses the public network has, from 21.2.0.1 on. */
const publicHosts = 20;

export const publicHost = (n: number) => `${netOf.public}.${n}`;
/** The address by which the world sees a site: its gateway's, or the peer's own without NAT. */
export const outsideHost = (place: "a" | "b", nat: Nat) => nat === "none" ? lanHost(place, nat) : `${netOf[place]}.1`;
const lanNet = (place: "a" | "b", nat: Nat) =>
  nat === "none" ? netOf[place].replace(/0$/, "1") : `192.168.${routerOf[place]}`;
export const lanHost = (place: "a" | "b", nat: Nat) => `${lanNet(place, nat)}.2`;

/** Why namespaces can't be had here, or null. */
export async function whyNoNamespaces(): Promise<string | null> {
  if (Deno.build.os !== "linux") return "only Linux has network namespaces";
  if (Deno.uid() !== 0) return "needs root";
  const name = uniquePrefix();
  for (
    const [command, ...args] of [["ip", "-V"], ["nft", "-v"], ["ip", "netns", "add", name], [
      "ip",
      "netns",
      "del",
      name,
    ]]
  ) {
    try {
      const { success } = await new Deno.Command(command!, { args, stdout: "null", stderr: "null" }).output();
      if (!success) return `\`${command} ${args.join(" ")}\` fails`;
    } catch {
      return `needs ${command}`;
    }
  }
  return null;
}

/** Unique, and telling whose it is. */
function uniquePrefix(): string {
  return `udx${Deno.pid}-${crypto.getRandomValues(new Uint8Array(2)).toHex()}`;
}

/** Removes what runs left behind that were killed. */
async function removeLeftovers(): Promise<void> {
  for (const [name, pid] of (await run("ip", ["netns", "list"])).matchAll(/^udx(\d+)-\S+/gm)) {
    const alive = await Deno.stat(`/proc/${pid}`).then(() => true, () => false);
    if (!alive) await run("ip", ["netns", "del", name]);
  }
}

export class NatNetwork implements AsyncDisposable {
  readonly #prefix = uniquePrefix();
  readonly #namespaces: string[] = [];

  static async create(a: Site, b: Site): Promise<NatNetwork> {
    await removeLeftovers();
    const network = new NatNetwork();
    try {
      await network.#build(a, b);
    } catch (error) {
      await network[Symbol.asyncDispose]();
      throw error;
    }
    return network;
  }

  /** Runs programs at a place. */
  launcher(place: Place): Launcher {
    return (command, ...args) => ["ip", "netns", "exec", this.#name(place), command, ...args];
  }

  async #build(a: Site, b: Site): Promise<void> {
    const names = ["a", "gateway-a", "b", "gateway-b", "public", ...range(routers).map((i) => `r${i}`)];
    for (const name of names) {
      await run("ip", ["netns", "add", this.#name(name)]);
      this.#namespaces.push(this.#name(name));
      await this.#ip(name, "link set lo up");
    }
    for (const name of names.slice(1)) await this.#exec(name, "sysctl", "-qw", "net.ipv4.ip_forward=1");
    for (const i of range(routers - 1)) {
      await this.#wire(`r${i}`, `10.255.${i}.1/30`, `r${i + 1}`, `10.255.${i}.2/30`);
    }
    await this.#wire("r2", `${netOf.public}.254/24`, "public", `${publicHost(1)}/24`);
    await this.#ip(
      "public",
      ...range(publicHosts).slice(1).map((n) => `address add ${publicHost(n)}/24 dev r2`),
      `route add default via ${netOf.public}.254`,
    );
    for (const [place, site] of [["a", a], ["b", b]] as const) await this.#buildSite(place, site);
    for (const i of range(routers)) {
      const routes = (["a", "b", "public"] as const).filter((place) => routerOf[place] !== i).map((place) => {
        const onwards = routerOf[place] > i;
        const via = onwards ? `10.255.${i}.2` : `10.255.${i - 1}.1`;
        return `route add ${netOf[place].replace(/\.0$/, ".0.0")}/16 via ${via}`;
      });
      await this.#ip(`r${i}`, ...routes);
    }
  }

  async #buildSite(place: "a" | "b", { nat, unasked = "drop" }: Site): Promise<void> {
    const [gateway, router, lan] = [`gateway-${place}`, `r${routerOf[place]}`, lanNet(place, nat)];
    await this.#wire(gateway, `${lan}.1/24`, place, `${lan}.2/24`);
    await this.#wire(router, `${netOf[place]}.254/24`, gateway, `${netOf[place]}.1/24`);
    await this.#ip(place, `route add default via ${lan}.1`);
    await this.#ip(gateway, `route add default via ${netOf[place]}.254`);
    if (nat === "none") return await this.#ip(router, `route add ${lan}.0/24 via ${netOf[place]}.1`);
    const target = unasked === "reject" ? "reject with icmp type port-unreachable" : unasked;
    await this.#nft(
      gateway,
      `table ip site {
        chain out { type nat hook postrouting priority 100; oifname "${router}" masquerade ${
        nat === "random" ? "fully-random" : ""
      }; }
        chain in { type nat hook prerouting priority -100; ${
        nat === "open" ? `iifname "${router}" ip protocol udp dnat to ${lan}.2;` : ""
      } }
        chain self { type filter hook input priority 0; iifname "${router}" ip protocol udp ct state new ${target}; }
        chain pass { type filter hook forward priority 0; iifname "${router}" ct state new ${
        nat === "open" ? "accept" : "drop"
      }; }
      }`,
    );
  }

  /** Joins two namespaces; each end is named after the other side. */
  async #wire(left: string, leftAddress: string, right: string, rightAddress: string): Promise<void> {
    const [l, r] = [this.#name(left), this.#name(right)];
    await run("ip", ["-n", l, "link", "add", "name", right, "type", "veth", "peer", "name", left, "netns", r]);
    await this.#ip(left, `address add ${leftAddress} dev ${right}`, `link set dev ${right} up`);
    await this.#ip(right, `address add ${rightAddress} dev ${left}`, `link set dev ${left} up`);
  }

  /** Lets nothing pass between the sites; both still reach the public network. */
  async part(): Promise<void> {
    const rule = (from: "a" | "b", to: "a" | "b") => `ip saddr ${netOf[from]}.0/16 ip daddr ${netOf[to]}.0/16 drop;`;
    await this.#nft(
      "r3",
      `table ip parted { chain pass { type filter hook forward priority 0; ${rule("a", "b")} ${rule("b", "a")} }; }`,
    );
  }

  /** Ends that. */
  async rejoin(): Promise<void> {
    await this.#nft("r3", "delete table ip parted");
  }

  #name(name: string): string {
    return `${this.#prefix}-${name}`;
  }

  async #ip(name: string, ...lines: readonly string[]): Promise<void> {
    await run("ip", ["-n", this.#name(name), "-batch", "-"], lines.join("\n") + "\n");
  }

  async #nft(name: string, rules: string): Promise<void> {
    await run("ip", ["netns", "exec", this.#name(name), "nft", "-f", "-"], rules);
  }

  #exec(name: string, ...command: readonly string[]): Promise<string> {
    return run("ip", ["netns", "exec", this.#name(name), ...command]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const name of this.#namespaces) await run("ip", ["netns", "del", name]);
  }
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i + 1);
}

async function run(command: string, args: readonly string[], input = ""): Promise<string> {
  const child = new Deno.Command(command, { args: [...args], stdin: "piped", stdout: "piped", stderr: "piped" })
    .spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(input));
  await writer.close();
  const { success, stdout, stderr } = await child.output();
  if (!success) throw new Error(`${command} ${args.join(" ")}: ${new TextDecoder().decode(stderr)}\n${input}`);
  return new TextDecoder().decode(stdout);
}
