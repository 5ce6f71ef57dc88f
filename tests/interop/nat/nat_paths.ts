/**
 * hyperdht's ways from one peer to another through real NATs (Linux, in network namespaces), over our UDX and udx-native.
 * A task of its own, `deno task test:nat`: it needs root, `ip` and `nft`.
 */
import assert from "node:assert/strict";
import { DhtPeer, type Kind, startDht, type Told } from "../dht_peer.ts";
import { NatNetwork, outsideHost, publicHost, type Site, whyNoNamespaces } from "./nat_network.ts";

const ONE_MB = 1024 * 1024;
const dhtHosts = Array.from({ length: 12 }, (_, i) => publicHost(i + 1));
const relayPlace = publicHost(20);

const why = await whyNoNamespaces();
if (why !== null) console.log(`NAT tests are ignored: ${why}`);

const test = (name: string, fn: () => Promise<void>) => Deno.test({ name, ignore: why !== null, fn });

/** Two sites on a small internet, `b` listening. */
class Meeting implements AsyncDisposable {
  readonly #stack: AsyncDisposableStack;
  #indexes = [0, 0];

  private constructor(
    readonly network: NatNetwork,
    readonly a: DhtPeer,
    readonly b: DhtPeer,
    readonly relay: DhtPeer | null,
    readonly key: string,
    stack: AsyncDisposableStack,
  ) {
    this.#stack = stack;
  }

  static async start(a: Site & { kind: Kind }, b: Site & { kind: Kind }, relay?: Kind): Promise<Meeting> {
    await using stack = new AsyncDisposableStack();
    const network = stack.use(await NatNetwork.create(a, b));
    const { bootstrap } = stack.use(await startDht(network.launcher("public"), dhtHosts));
    let relayThrough = {};
    let relayPeer: DhtPeer | null = null;
    if (relay !== undefined) {
      relayPeer = stack.use(
        await DhtPeer.start(network.launcher("public"), relay, bootstrap, {
          host: relayPlace,
          port: 50_000,
          firewalled: false,
        }),
      );
      relayThrough = { relayThrough: (await relayPeer.ask("relay", {}, "listening")).publicKey };
    }
    // Who is reachable says so: on a small DHT hyperdht takes its time to find out.
    const options = ({ nat }: Site) => nat === "none" ? { firewalled: false } : {};
    const listener = stack.use(await DhtPeer.start(network.launcher("b"), b.kind, bootstrap, options(b)));
    const { publicKey } = await listener.ask("listen", relayThrough, "listening");
    const dialler = stack.use(await DhtPeer.start(network.launcher("a"), a.kind, bootstrap, options(a)));
    return new Meeting(network, dialler, listener, relayPeer, publicKey, stack.move());
  }

  /** Dials, and again while that fails; what both ends then say about the connection. */
  async connect(tries = 1): Promise<{ a: Told; b: Told }> {
    const dial = () => this.a.ask("connect", { publicKey: this.key }, "connected", "failed");
    let a = await dial();
    while (a.kind === "failed" && --tries > 0) a = await dial();
    assert.equal(a.kind, "connected", JSON.stringify(a));
    const b = await this.b.next("connected");
    this.#indexes = [a.index, b.index];
    return { a, b };
  }

  /** Dials in vain. */
  async refused(): Promise<void> {
    const { code } = await this.a.ask("connect", { publicKey: this.key }, "connected", "failed");
    assert.equal(code, "HOLEPUNCH_ABORTED");
  }

  /** 1 MB each way at once; where each end sees the other one after that. */
  async exchange(): Promise<{ a: Told; b: Told }> {
    const [indexA, indexB] = this.#indexes;
    await this.a.send("send", { index: indexA, bytes: ONE_MB });
    await this.b.send("send", { index: indexB, bytes: ONE_MB });
    return await this.arrived();
  }

  /** What each end sent in the end is what the other one got. */
  async arrived(): Promise<{ a: Told; b: Told }> {
    const [indexA, indexB] = this.#indexes;
    const [fromA, fromB] = [await this.a.next("sent"), await this.b.next("sent")];
    await this.a.send("expect", { index: indexA, bytes: fromB.bytes });
    await this.b.send("expect", { index: indexB, bytes: fromA.bytes });
    const [a, b] = [await this.a.next("received"), await this.b.next("received")];
    assert.deepEqual([a.sha256, b.sha256], [fromB.sha256, fromA.sha256]);
    return { a, b };
  }

  async stats(): Promise<{ a: Told; b: Told }> {
    return { a: await this.a.ask("stats", {}, "stats"), b: await this.b.ask("stats", {}, "stats") };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}

/** Each end sees the other one's gateway: nobody stands between them. */
function assertDirect({ a, b }: { a: Told; b: Told }, siteA: Site, siteB: Site): void {
  assert.equal(a.host, outsideHost("b", siteB.nat));
  assert.equal(b.host, outsideHost("a", siteA.nat));
}

const pairs: readonly (readonly [Kind, Kind])[] = [["ours", "native"], ["native", "ours"], ["ours", "ours"]];

for (const [kindA, kindB] of pairs) {
  const who = `${kindA} to ${kindB}`;

  test(`${who}: to a public address, and from one, without punching`, async () => {
    for (const [natA, natB] of [["consistent", "none"], ["none", "consistent"]] as const) {
      const [siteA, siteB] = [{ nat: natA, kind: kindA }, { nat: natB, kind: kindB }];
      await using meeting = await Meeting.start(siteA, siteB);
      await meeting.connect();
      assertDirect(await meeting.exchange(), siteA, siteB);
      const { a, b } = await meeting.stats();
      assert.deepEqual([a.firewalled, b.firewalled], [natA !== "none", natB !== "none"]);
      assert.equal(a.punches.open + b.punches.open, 1);
      assert.equal(a.punches.consistent + a.punches.random + b.punches.consistent + b.punches.random, 0);
    }
  });

  test(`${who}: through consistent NATs, whatever their gateways do with unasked packets`, async () => {
    for (const unasked of ["drop", "reject", "accept"] as const) {
      const [siteA, siteB] = [{ nat: "consistent", unasked, kind: kindA }, {
        nat: "consistent",
        unasked,
        kind: kindB,
      }] as const;
      await using meeting = await Meeting.start(siteA, siteB);
      await meeting.connect();
      assertDirect(await meeting.exchange(), siteA, siteB);
      const { a, b } = await meeting.stats();
      assert.deepEqual([a.firewalled, b.firewalled, a.punches.open, a.punches.random], [true, true, 0, 0]);
    }
  });

  test(`${who}: through an open NAT at either side`, async () => {
    for (const [natA, natB] of [["open", "consistent"], ["consistent", "open"], ["open", "open"]] as const) {
      const [siteA, siteB] = [{ nat: natA, kind: kindA }, { nat: natB, kind: kindB }];
      await using meeting = await Meeting.start(siteA, siteB);
      await meeting.connect();
      assertDirect(await meeting.exchange(), siteA, siteB);
    }
  });

  test(`${who}: through one NAT that gives each destination another port, by hundreds of sockets`, async () => {
    for (const [natA, natB] of [["random", "consistent"], ["consistent", "random"]] as const) {
      const [siteA, siteB] = [{ nat: natA, kind: kindA }, { nat: natB, kind: kindB }];
      await using meeting = await Meeting.start(siteA, siteB);
      // Once in some hundred times no guess of a port hits within hyperdht's 35 s.
      await meeting.connect(3);
      assertDirect(await meeting.exchange(), siteA, siteB);
      const { a, b } = await meeting.stats();
      assert.ok(a.punches.random > 0 && b.punches.random === a.punches.random);
    }
  });

  test(`${who}: two such NATs leave only a relay, and without one a plain failure`, async () => {
    const [siteA, siteB] = [{ nat: "random", kind: kindA }, { nat: "random", kind: kindB }] as const;
    {
      await using meeting = await Meeting.start(siteA, siteB);
      await meeting.refused();
      const { a, b } = await meeting.stats();
      // Both know what the other's NAT is, and don't even try.
      assert.deepEqual([a.punches.random, b.punches.random], [0, 0]);
    }
    for (const relay of ["native", "ours"] as const) {
      await using meeting = await Meeting.start(siteA, siteB, relay);
      await meeting.connect();
      const { a, b } = await meeting.exchange();
      assert.deepEqual([a.host, b.host], [relayPlace, relayPlace]);
      const { pairings } = await meeting.relay!.ask("relayStats", {}, "relayStats");
      assert.deepEqual([pairings.matched, pairings.active], [1, 1]);
    }
  });

  test(`${who}: relayed at first, and moved to the direct way with data in flight`, async () => {
    for (const relay of ["native", "ours"] as const) {
      const [siteA, siteB] = [{ nat: "consistent", kind: kindA }, { nat: "consistent", kind: kindB }] as const;
      await using meeting = await Meeting.start(siteA, siteB, relay);
      await meeting.network.part();
      for (const peer of [meeting.a, meeting.b]) await peer.send("sendUntilMoved", { bytes: ONE_MB });
      const first = await meeting.connect();
      assert.deepEqual([first.a.host, first.b.host], [relayPlace, relayPlace]);
      await meeting.network.rejoin();
      assertDirect(await meeting.arrived(), siteA, siteB);
      for (const peer of [meeting.a, meeting.b]) {
        const moving = peer.told.find(({ kind }) => kind === "moving");
        assert.deepEqual([moving.from.host, moving.sending], [relayPlace, true]);
      }
      // The relay is let go by both.
      while ((await meeting.relay!.ask("relayStats", {}, "relayStats")).sessions.active > 0) {
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  });
}

test("ours: without low TTLs a gateway that remembers unasked packets keeps the dialler out", async () => {
  const site = { nat: "consistent", unasked: "accept" } as const;
  await using meeting = await Meeting.start({ ...site, kind: "ours without TTL" }, { ...site, kind: "native" });
  await meeting.refused();
});
