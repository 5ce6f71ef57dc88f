import assert from "node:assert/strict";
import { BASE_MTU_BYTES, MAX_MTU_BYTES, PathMtu } from "../../lib/udx/mtu.ts";

/** A path that carries packets up to `mtuBytes`, asked by full packets only. @returns the sizes of the probes */
function probe(mtu: PathMtu, carriesBytes: number, nowMs: number): number[] {
  const sizes: number[] = [];
  mtu.onDelivered(BASE_MTU_BYTES, false, nowMs, nowMs);
  for (;;) {
    mtu.beforeSending(nowMs);
    const padding = mtu.padding(mtu.bytes);
    if (padding === 0) return sizes;
    const size = mtu.bytes + padding;
    sizes.push(size);
    if (size > carriesBytes) mtu.onProbeLost(nowMs);
    else mtu.onDelivered(size, true, nowMs, nowMs);
  }
}

Deno.test("PathMtu climbs from 1200 to 1500 in two leaps once something was delivered", () => {
  const mtu = new PathMtu();
  assert.equal(mtu.padding(BASE_MTU_BYTES), 0, "nothing is known of the path yet");
  assert.deepEqual(probe(mtu, 1500, 0), [1455, 1500]);
  assert.equal(mtu.state, "complete");
  assert.equal(mtu.bytes, MAX_MTU_BYTES);
});

Deno.test("PathMtu climbs in libudx's steps where a leap failed, settles where three probes of one size were lost, and tries again after ten minutes", () => {
  const mtu = new PathMtu();
  assert.deepEqual(probe(mtu, 1290, 0), [1455, 1455, 1455, 1232, 1264, 1296, 1296, 1296]);
  assert.equal(mtu.state, "complete");
  assert.equal(mtu.bytes, 1264);
  mtu.onDelivered(1264, false, 599_000, 599_000);
  mtu.beforeSending(599_999);
  assert.equal(mtu.state, "complete");
  mtu.beforeSending(600_000);
  assert.equal(mtu.state, "search");
  assert.deepEqual(probe(mtu, 1500, 600_000).at(-1), 1500);
});

Deno.test("PathMtu sends one probe at a time, from packets that can be padded up to it", () => {
  const mtu = new PathMtu();
  mtu.onDelivered(100, false, 0, 0);
  assert.equal(mtu.padding(1199), 0, "more padding than a data offset can name");
  assert.equal(mtu.padding(1200), 255);
  assert.equal(mtu.padding(1200), 0, "one is under way");
  mtu.onProbeLost(0);
  assert.equal(mtu.padding(1200), 255);
});

Deno.test("PathMtu forgets everything when the path changes", () => {
  const mtu = new PathMtu();
  probe(mtu, 1500, 0);
  mtu.reset();
  assert.equal(mtu.state, "base");
  assert.equal(mtu.bytes, BASE_MTU_BYTES);
  mtu.onProbeLost(0);
  assert.equal(mtu.padding(1200), 0);
});

Deno.test("PathMtu packs no large packets after ten seconds without one that arrived, and shows the size again in two probes", () => {
  const mtu = new PathMtu();
  probe(mtu, 1500, 0);
  mtu.beforeSending(10_000);
  assert.equal(mtu.bytes, 1500);
  mtu.beforeSending(10_001);
  assert.equal(mtu.state, "search");
  assert.equal(mtu.bytes, BASE_MTU_BYTES);
  assert.deepEqual(probe(mtu, 1500, 10_001), [1455, 1500]);
  assert.equal(mtu.state, "complete");
});

Deno.test("PathMtu finds a smaller size on a path that shrank unseen", () => {
  const mtu = new PathMtu();
  probe(mtu, 1500, 0);
  assert.deepEqual(probe(mtu, 1280, 20_000), [1455, 1455, 1455, 1232, 1264, 1296, 1296, 1296]);
  assert.equal(mtu.bytes, 1264);
});

Deno.test("PathMtu shows a smaller size again too, but nothing above it before its time", () => {
  const mtu = new PathMtu();
  probe(mtu, 1270, 0);
  assert.deepEqual(probe(mtu, 1500, 40_000), [1264]);
  assert.equal(mtu.state, "complete");
  mtu.onDelivered(1264, false, 600_000, 600_000);
  assert.deepEqual(probe(mtu, 1500, 600_000), [1500], "ten minutes after the first search, not after the doubts");
});

Deno.test("PathMtu goes on with a search that a pause interrupted", () => {
  const mtu = new PathMtu();
  mtu.onDelivered(1200, false, 0, 0);
  mtu.onDelivered(1200 + mtu.padding(1200), true, 0, 0);
  assert.equal(mtu.bytes, 1455);
  assert.deepEqual(probe(mtu, 1500, 20_000), [1455, 1500]);
});

Deno.test("PathMtu falls back to small packets when three large ones in a row are lost", () => {
  const mtu = new PathMtu();
  probe(mtu, 1500, 0);
  mtu.onLost(1500, 1, 9);
  mtu.onLost(1500, 2, 9);
  mtu.onDelivered(1500, false, 3, 10);
  // Sent before one that arrived.
  for (const sentMs of [1, 2, 3]) mtu.onLost(1500, sentMs, 11);
  for (const sentMs of [4, 5]) mtu.onLost(1500, sentMs, 20);
  for (const sentMs of [6, 6, 6, 6]) mtu.onLost(1200, sentMs, 20);
  assert.equal(mtu.state, "complete");
  mtu.onLost(1500, 7, 20);
  assert.equal(mtu.state, "black-hole");
  assert.equal(mtu.bytes, BASE_MTU_BYTES);
  assert.equal(mtu.padding(1200), 0);
});

Deno.test("PathMtu leaves a black hole when a large packet arrives after all, or after 15 seconds", () => {
  for (const rise of ["delivery", "time"]) {
    const mtu = new PathMtu();
    probe(mtu, 1500, 0);
    for (const sentMs of [1, 2, 3]) mtu.onLost(1500, sentMs, 5);
    if (rise === "delivery") mtu.onDelivered(1500, false, 3, 6);
    else {
      mtu.beforeSending(15_004);
      assert.equal(mtu.state, "black-hole");
      mtu.beforeSending(15_005);
    }
    assert.equal(mtu.state, "search");
    assert.equal(mtu.bytes, BASE_MTU_BYTES);
    assert.deepEqual(probe(mtu, 1500, 15_005), [1455, 1500]);
    assert.equal(mtu.bytes, MAX_MTU_BYTES);
  }
});
