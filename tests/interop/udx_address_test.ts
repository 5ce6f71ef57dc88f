import assert from "node:assert/strict";
import { assertSameBytes, conform, connect, LOOPBACK, type Socket } from "./udx_ends.ts";

const LOOPBACK_6 = "::1";
const ANY_6 = "::";

conform("streams talk over IPv6", async (scene) => {
  const { a, b, sockets } = await connect(scene, { host: LOOPBACK_6 });
  await Promise.all([a.read(), b.read()]);
  const [sentByA, sentByB] = await Promise.all([a.pour(300_000), b.pour(300_000)]);
  await Promise.all([a.end(), b.end()]);
  assert.deepEqual(await Promise.all([a.closed(), b.closed()]), [null, null]);
  assertSameBytes(await a.received(0), sentByB);
  assertSameBytes(await b.received(0), sentByA);
  assert.equal((await sockets[0].address()).family, 6);
});

for (const host of [LOOPBACK, LOOPBACK_6]) {
  conform(`a socket for both families talks to ${host}`, async ({ a, b }) => {
    const [both, one] = [await a.socket(ANY_6), await b.socket(host)];
    const [left, right] = [await a.stream(1), await b.stream(2)];
    await left.connect(both, 2, await one.port(), host);
    await right.connect(one, 1, await both.port(), host);
    await Promise.all([left.read(), right.read()]);
    assert.equal(await left.get("remoteFamily"), host === LOOPBACK ? 4 : 6);
    const [sent, answered] = await Promise.all([left.pour(100_000), right.pour(100_000)]);
    await Promise.all([left.end(), right.end()]);
    assert.deepEqual(await Promise.all([left.closed(), right.closed()]), [null, null]);
    assertSameBytes(await left.received(0), answered);
    assertSameBytes(await right.received(0), sent);
  });

  conform(`a socket for both families names a peer at ${host} by its own family`, async ({ a, b }) => {
    const [both, one] = [await a.socket(ANY_6), await b.socket(host)];
    const family = host === LOOPBACK ? 4 : 6;
    await one.call("send", Uint8Array.of(1), await both.port(), host);
    assert.deepEqual(await both.wait("message"), ["01", { host, family, port: await one.port() }]);
    await both.call("send", Uint8Array.of(2), await one.port(), host);
    assert.deepEqual(await one.wait("message"), ["02", { host, family, port: await both.port() }]);
  });
}

conform("a socket for IPv6 only hears nothing over IPv4", async ({ a, b }) => {
  const six = await a.socket(ANY_6, { ipv6Only: true });
  const [from4, from6] = [await b.socket(LOOPBACK), await b.socket(LOOPBACK_6)];
  await from4.call("send", Uint8Array.of(4), await six.port(), LOOPBACK);
  await from6.call("send", Uint8Array.of(6), await six.port(), LOOPBACK_6);
  assert.equal((await six.wait("message"))[0], "06");
  assert.equal((await six.happened("message")).length, 1);
});

conform("a firewall hears of an IPv4 peer by its IPv4 address", async ({ a, b }) => {
  const [one, both] = [await a.socket(), await b.socket(ANY_6)];
  const [left, right] = [await a.stream(1), await b.stream(2, { firewall: { remoteId: 1 } })];
  await right.read();
  await left.connect(one, 2, await both.port());
  await left.write("hello");
  assert.equal((await right.received(5)).text, "hello");
  assert.deepEqual(await right.happened("firewall"), [[both.name, await one.port(), LOOPBACK, 4]]);
  assert.equal(await left.call("flush"), true);
});

async function bindFailure(socket: Socket, port: number, host?: string): Promise<string> {
  const arguments_ = host === undefined ? [port] : [port, host];
  return await socket.call("bind", ...arguments_).then(() => "", (error: { code: string }) => error.code);
}

conform("a port that the other side has bound is refused, and another one taken", async ({ a, b }) => {
  for (const host of [LOOPBACK, LOOPBACK_6, "0.0.0.0", ANY_6, undefined]) {
    const [first, second] = [await a.socket(null), await b.socket(null)];
    assert.equal(await bindFailure(first, 0, host), "");
    // Without a host udx-native tries IPv4 on the handle that IPv6 has failed on, and tells of that.
    const expected = host === undefined && b.is === "udx-native" ? "EINVAL" : "EADDRINUSE";
    assert.equal(await bindFailure(second, await first.port(), host), expected);
    assert.deepEqual([await second.get("bound"), await second.address()], [false, null]);
    assert.equal(await bindFailure(second, 0, host), "");
    const port = await first.port();
    await first.call("close");
    const third = await b.socket(null);
    assert.equal(await bindFailure(third, port, host), "", "a closed socket's port is free");
  }
});
