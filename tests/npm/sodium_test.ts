import assert from "node:assert/strict";
import sodium from "sodium-universal";
import { runNode } from "../interop/node_install.ts";

/**
 * The stand-in against sodium-native under Node: the same calls on the same bytes must leave the same bytes in every
 * buffer, return the same and throw the same message.
 */

/** A view of one of the case's buffers; views of one buffer may overlap. */
interface View {
  readonly buffer: number;
  readonly at: number;
  readonly length: number;
}

type Argument = View | readonly View[] | number | string | null;

interface Case {
  readonly name: string;
  readonly call: string;
  /** Contents before the call, in hex. */
  readonly buffers: readonly string[];
  readonly args: readonly Argument[];
}

interface Result {
  readonly returned?: unknown;
  readonly threw?: string;
  readonly buffers: readonly string[];
}

type Sodium = Record<string, (...args: unknown[]) => unknown>;

/** Runs on both sides: its source goes to Node, so it may use nothing from outside. */
function runCases(sodium: Sodium, cases: readonly Case[]): Result[] {
  return cases.map(({ call, buffers, args }) => {
    const memory = buffers.map((hex) => Buffer.from(hex, "hex"));
    const resolve = (arg: Argument): unknown => {
      if (Array.isArray(arg)) return arg.map(resolve);
      if (arg === null || typeof arg !== "object") return arg;
      const { buffer, at, length } = arg as View;
      return memory[buffer]!.subarray(at, at + length);
    };
    const dump = () => memory.map((bytes) => bytes.toString("hex"));
    try {
      const returned = sodium[call]!(...args.map(resolve));
      return {
        ...(returned === undefined ? {} : { returned }),
        buffers: dump(),
      };
    } catch (error) {
      return { threw: (error as Error).message, buffers: dump() };
    }
  });
}

async function runCasesInNode(cases: readonly Case[]): Promise<Result[]> {
  const script = `
    const runCases = ${runCases.toString()};
    const cases = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
    console.log(JSON.stringify(runCases(require("sodium-native"), cases)));`;
  return JSON.parse(await runNode(script, JSON.stringify(cases)));
}

async function assertSameAsNative(cases: readonly Case[]): Promise<Result[]> {
  const ours = runCases(sodium as Sodium, cases);
  const native = await runCasesInNode(cases);
  assert.equal(native.length, cases.length);
  cases.forEach(({ name }, i) => assert.deepEqual(ours[i], native[i], name));
  return ours;
}

// Bytes that look random and never change: a linear congruential generator's high bytes.
let state = 0x5eed;
function randomHex(length: number): string {
  let hex = "";
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    hex += (state >>> 24).toString(16).padStart(2, "0");
  }
  return hex;
}

const zeros = (length: number) => "00".repeat(length);
const flipFirstBit = (hex: string) =>
  (parseInt(hex.slice(0, 2), 16) ^ 1).toString(16).padStart(2, "0") +
  hex.slice(2);

/** A call in which every argument that is hex has a buffer of its own. */
function plain(
  name: string,
  call: string,
  ...values: (string | number | null | { hex: string }[])[]
): Case {
  const buffers: string[] = [];
  const view = (hex: string): View => ({
    buffer: buffers.push(hex) - 1,
    at: 0,
    length: hex.length / 2,
  });
  const args = values.map((value) =>
    typeof value === "string" ? view(value) : Array.isArray(value) ? value.map(({ hex }) => view(hex)) : value
  );
  return { name: `${call}: ${name}`, call, buffers, args };
}

/** The same call with one argument at a time one byte too long, one byte too short, and not a buffer at all. */
function malformed({ call, buffers, args }: Case): Case[] {
  return args.flatMap((arg, i) => {
    if (arg === null || typeof arg !== "object" || Array.isArray(arg)) {
      return [];
    }
    const { buffer } = arg as View;
    const replace = (name: string, hex: string, argument: Argument): Case => ({
      name: `${call}: argument ${i} ${name}`,
      call,
      buffers: buffers.with(buffer, hex),
      args: (args as Argument[]).with(i, argument),
    });
    const hex = buffers[buffer]!;
    const cases = [
      replace("too long", hex + "00", {
        buffer,
        at: 0,
        length: hex.length / 2 + 1,
      }),
    ];
    if (hex !== "") {
      cases.push(
        replace("too short", hex.slice(2), {
          buffer,
          at: 0,
          length: hex.length / 2 - 1,
        }),
      );
    }
    cases.push(replace("not a buffer", hex, "text"));
    return cases;
  });
}

// Around a block of BLAKE2b, SHA-512 and ChaCha20, a packet, and more than the stand-in's first scratch memory.
const lengths = [0, 1, 16, 63, 64, 65, 127, 128, 129, 1200, 70_000, 400_000];

Deno.test("sodium: the constants are sodium-native's", async () => {
  const ours = Object.fromEntries(
    Object.entries(sodium).filter(([, value]) => typeof value === "number"),
  );
  assert.ok(Object.keys(ours).length > 30);
  const native = JSON.parse(
    await runNode(
      `const s = require("sodium-native");
       console.log(JSON.stringify(Object.fromEntries(${JSON.stringify(Object.keys(ours))}.map((k) => [k, s[k]]))))`,
    ),
  );
  assert.deepEqual(ours, native);
});

Deno.test("sodium: hashes", async () => {
  const cases: Case[] = [];
  for (const length of lengths) {
    const input = randomHex(length);
    cases.push(
      plain(`${length} bytes`, "crypto_generichash", zeros(32), input),
      plain(
        `${length} bytes, keyed`,
        "crypto_generichash",
        zeros(64),
        input,
        randomHex(32),
      ),
      plain(`${length} bytes`, "crypto_hash_sha512", zeros(64), input),
      plain(`${length} bytes in parts`, "crypto_generichash_batch", zeros(32), [
        { hex: input },
        { hex: "" },
        { hex: randomHex(7) },
      ]),
      plain(
        `${length} bytes in parts, keyed`,
        "crypto_generichash_batch",
        zeros(32),
        [{ hex: input }],
        randomHex(32),
      ),
    );
  }
  for (
    const [output, key] of [[16, 16], [15, 32], [65, 32], [32, 15], [32, 64], [
      32,
      65,
    ]] as const
  ) {
    cases.push(
      plain(
        `${output} bytes, key ${key}`,
        "crypto_generichash",
        zeros(output),
        "abcd",
        randomHex(key),
      ),
    );
  }
  cases.push(
    ...malformed(plain("", "crypto_hash_sha512", zeros(64), "abcd")),
    plain("no parts", "crypto_generichash_batch", zeros(32), []),
    {
      name: "crypto_generichash: over its own input",
      call: "crypto_generichash",
      buffers: [randomHex(64)],
      args: [{ buffer: 0, at: 8, length: 32 }, {
        buffer: 0,
        at: 0,
        length: 64,
      }],
    },
  );
  await assertSameAsNative(cases);
});

Deno.test("sodium: signatures", async () => {
  const seed = randomHex(32);
  const [keys] = runCases(sodium as Sodium, [
    plain("", "crypto_sign_seed_keypair", zeros(32), zeros(64), seed),
  ]);
  const [pk, sk] = keys!.buffers as [string, string];
  const cases = [
    plain("", "crypto_sign_seed_keypair", zeros(32), zeros(64), seed),
    ...malformed(
      plain("", "crypto_sign_seed_keypair", zeros(32), zeros(64), seed),
    ),
    plain("", "crypto_sign_ed25519_sk_to_pk", zeros(32), sk),
    ...malformed(plain("", "crypto_sign_ed25519_sk_to_pk", zeros(32), sk)),
    ...malformed(plain("", "crypto_sign_detached", zeros(64), "abcd", sk)),
  ];
  for (const length of lengths) {
    const message = randomHex(length);
    const sign = plain(
      `${length} bytes`,
      "crypto_sign_detached",
      zeros(64),
      message,
      sk,
    );
    const signature = runCases(sodium as Sodium, [sign])[0]!.buffers[0]!;
    cases.push(
      sign,
      plain(
        `${length} bytes`,
        "crypto_sign_verify_detached",
        signature,
        message,
        pk,
      ),
      plain(
        `${length} bytes, forged`,
        "crypto_sign_verify_detached",
        flipFirstBit(signature),
        message,
        pk,
      ),
    );
    if (length === 64) {
      cases.push(
        ...malformed(
          plain("", "crypto_sign_verify_detached", signature, message, pk),
        ),
        plain(
          "small-order key",
          "crypto_sign_verify_detached",
          signature,
          message,
          "01" + zeros(31),
        ),
        // s >= L: malleable, so refused.
        plain(
          "s too large",
          "crypto_sign_verify_detached",
          signature.slice(0, 64) + "ff".repeat(32),
          message,
          pk,
        ),
      );
    }
  }
  const results = await assertSameAsNative(cases);
  const verdicts = results.flatMap((
    { returned },
  ) => (typeof returned === "boolean" ? [returned] : []));
  assert.ok(verdicts.includes(true) && verdicts.includes(false));
});

/** Ed25519 points of order 1, 2, 4 and 8, one of them not canonical, and two encodings that are no points. */
const strangePoints = [
  "01" + zeros(31),
  "ec" + "ff".repeat(30) + "7f",
  zeros(32),
  zeros(31) + "80",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  "ee" + "ff".repeat(30) + "7f",
  "02" + zeros(31),
  "ff".repeat(32),
];

Deno.test("sodium: key agreement, small-order points included", async () => {
  const [keys, pair] = runCases(sodium as Sodium, [
    plain("", "crypto_sign_seed_keypair", zeros(32), zeros(64), randomHex(32)),
    plain("", "crypto_kx_seed_keypair", zeros(32), zeros(32), randomHex(32)),
  ]);
  const edPoint = keys!.buffers[0]!;
  const montgomeryPoint = pair!.buffers[0]!;
  const scalar = randomHex(32);
  const cases = [
    plain("", "crypto_scalarmult_base", zeros(32), scalar),
    ...malformed(plain("", "crypto_scalarmult_base", zeros(32), scalar)),
    plain("", "crypto_scalarmult", zeros(32), scalar, montgomeryPoint),
    ...malformed(
      plain("", "crypto_scalarmult", zeros(32), scalar, montgomeryPoint),
    ),
    plain("", "crypto_scalarmult_ed25519_noclamp", zeros(32), scalar, edPoint),
    plain(
      "scalar 0",
      "crypto_scalarmult_ed25519_noclamp",
      zeros(32),
      zeros(32),
      edPoint,
    ),
    ...malformed(
      plain(
        "",
        "crypto_scalarmult_ed25519_noclamp",
        zeros(32),
        scalar,
        edPoint,
      ),
    ),
    plain("", "crypto_kx_seed_keypair", zeros(32), zeros(32), scalar),
    ...malformed(
      plain("", "crypto_kx_seed_keypair", zeros(32), zeros(32), scalar),
    ),
    plain("", "crypto_box_seed_keypair", zeros(32), zeros(32), scalar),
    ...malformed(
      plain("", "crypto_box_seed_keypair", zeros(32), zeros(32), scalar),
    ),
    ...strangePoints.flatMap((point) => [
      plain(`point ${point}`, "crypto_scalarmult", zeros(32), scalar, point),
      plain(
        `point ${point}`,
        "crypto_scalarmult_ed25519_noclamp",
        zeros(32),
        scalar,
        point,
      ),
    ]),
    {
      name: "crypto_scalarmult_ed25519_noclamp: over its own point",
      call: "crypto_scalarmult_ed25519_noclamp",
      buffers: [edPoint, scalar],
      args: [
        { buffer: 0, at: 0, length: 32 },
        { buffer: 1, at: 0, length: 32 },
        { buffer: 0, at: 0, length: 32 },
      ],
    },
  ];
  const results = await assertSameAsNative(cases);
  assert.ok(
    results.some(({ threw }) => threw === "status: -1"),
    "a small-order point must be refused",
  );
});

Deno.test("sodium: encryption, bad tags and aliased buffers included", async () => {
  const cases: Case[] = [];
  const tampered: number[] = [];
  const nonce = randomHex(24);
  const key = randomHex(32);
  const ad = randomHex(13);
  for (const length of lengths) {
    const message = randomHex(length);
    const box = plain(
      `${length} bytes`,
      "crypto_secretbox_easy",
      zeros(length + 16),
      message,
      nonce,
      key,
    );
    const aead = (data: string | null) =>
      plain(
        `${length} bytes, ad ${data}`,
        "crypto_aead_chacha20poly1305_ietf_encrypt",
        zeros(length + 16),
        message,
        data,
        null,
        nonce.slice(0, 24),
        key,
      );
    const [boxed, sealed] = runCases(sodium as Sodium, [box, aead(ad)]).map((
      { buffers },
    ) => buffers[0]!);
    const open = (cipher: string) =>
      plain(
        `${length} bytes`,
        "crypto_secretbox_open_easy",
        randomHex(length),
        cipher,
        nonce,
        key,
      );
    const decrypt = (cipher: string, data: string | null) =>
      plain(
        `${length} bytes, ad ${data}`,
        "crypto_aead_chacha20poly1305_ietf_decrypt",
        randomHex(length),
        null,
        cipher,
        data,
        nonce.slice(0, 24),
        key,
      );
    cases.push(
      box,
      open(boxed!),
      aead(ad),
      aead(null),
      decrypt(sealed!, ad),
      plain(
        `${length} bytes`,
        "crypto_stream_xor",
        zeros(length),
        message,
        nonce,
        key,
      ),
    );
    tampered.push(cases.push(open(flipFirstBit(boxed!))) - 1);
    tampered.push(cases.push(decrypt(flipFirstBit(sealed!), ad)) - 1);
    tampered.push(cases.push(decrypt(sealed!, null)) - 1);
    if (length === 64) {
      for (const valid of [box, open(boxed!), aead(ad), decrypt(sealed!, ad)]) {
        // sodium-native aborts the process on associated data that is no buffer; nobody passes any.
        cases.push(
          ...malformed(valid).filter(({ name }) => !/encrypt: argument 2 not|decrypt: argument 3 not/.test(name)),
        );
      }
      cases.push(
        ...malformed(
          plain("", "crypto_stream_xor", zeros(64), message, nonce, key),
        ),
      );
    }
    // As secret-stream and Hypercore call them: in place, and with the output shifted over the input.
    const whole: View = { buffer: 0, at: 0, length };
    const sealedView: View = { buffer: 0, at: 0, length: length + 16 };
    const shifted: View = { buffer: 0, at: 16, length };
    const n: View = { buffer: 1, at: 0, length: 24 };
    const k: View = { buffer: 2, at: 0, length: 32 };
    cases.push(
      {
        name: `crypto_stream_xor: ${length} bytes in place`,
        call: "crypto_stream_xor",
        buffers: [message, nonce, key],
        args: [whole, whole, n, k],
      },
      {
        name: `crypto_secretbox_easy: ${length} bytes behind room for the tag`,
        call: "crypto_secretbox_easy",
        buffers: [zeros(16) + message, nonce, key],
        args: [sealedView, shifted, n, k],
      },
      {
        name: `crypto_secretbox_open_easy: ${length} bytes in place`,
        call: "crypto_secretbox_open_easy",
        buffers: [boxed!, nonce, key],
        args: [shifted, sealedView, n, k],
      },
      {
        name: `crypto_aead_chacha20poly1305_ietf_decrypt: ${length} bytes in place`,
        call: "crypto_aead_chacha20poly1305_ietf_decrypt",
        buffers: [sealed!, nonce, key, ad],
        args: [
          whole,
          null,
          sealedView,
          { buffer: 3, at: 0, length: 13 },
          { buffer: 1, at: 0, length: 12 },
          k,
        ],
      },
    );
  }
  const results = await assertSameAsNative(cases);
  for (const index of tampered) {
    const { returned, threw } = results[index]!;
    assert.ok(
      returned === false || threw === "could not verify data",
      cases[index]!.name,
    );
  }
});

Deno.test("sodium: secret streams, ours to native and back", async () => {
  const key = randomHex(32);
  const [start] = runCases(sodium as Sodium, [
    plain(
      "",
      "crypto_secretstream_xchacha20poly1305_init_push",
      zeros(52),
      zeros(24),
      key,
    ),
  ]);
  const [pushState, header] = start!.buffers as [string, string];
  const init = plain(
    "",
    "crypto_secretstream_xchacha20poly1305_init_pull",
    zeros(52),
    header,
    key,
  );
  assert.equal(
    (await assertSameAsNative([init, ...malformed(init)]))[0]!.buffers[0],
    pushState,
  );

  // Each call's state is what the one before left behind, so one case at a time is prepared by us and checked by both.
  let sending = pushState;
  let receiving = pushState;
  const cases: Case[] = [];
  for (const [i, length] of lengths.entries()) {
    const message = randomHex(length);
    const ad = i % 2 ? randomHex(5) : null;
    const tag = [0, 1, 2, 3][i % 4]!;
    const push = plain(
      `${length} bytes, tag ${tag}`,
      "crypto_secretstream_xchacha20poly1305_push",
      sending,
      zeros(length + 17),
      message,
      ad,
      tag,
    );
    const [pushed] = runCases(sodium as Sodium, [push]);
    const pull = (cipher: string) =>
      plain(
        `${length} bytes`,
        "crypto_secretstream_xchacha20poly1305_pull",
        receiving,
        randomHex(length),
        "00",
        cipher,
        ad,
      );
    const [pulled, refused] = runCases(sodium as Sodium, [
      pull(pushed!.buffers[1]!),
      pull(flipFirstBit(pushed!.buffers[1]!)),
    ]);
    assert.equal(pulled!.buffers[1], message);
    assert.equal(pulled!.buffers[2], tag.toString(16).padStart(2, "0"));
    assert.equal(refused!.threw, "pull failed");
    cases.push(
      push,
      pull(pushed!.buffers[1]!),
      pull(flipFirstBit(pushed!.buffers[1]!)),
    );
    if (length === 64) {
      for (const valid of [push, pull(pushed!.buffers[1]!)]) {
        cases.push(
          ...malformed(valid).filter(({ name }) => !/argument [34] (too|not)/.test(name)),
        );
      }
    }
    sending = pushed!.buffers[0]!;
    receiving = pulled!.buffers[0]!;
  }
  assert.equal(sending, receiving);
  await assertSameAsNative(cases);
});

Deno.test("sodium: what draws random bytes works with what native makes of it", async () => {
  const seal = (length: number) => {
    const pk = Buffer.alloc(32);
    const sk = Buffer.alloc(32);
    sodium.crypto_box_keypair(pk, sk);
    const message = Buffer.from(randomHex(length), "hex");
    const cipher = Buffer.alloc(length + sodium.crypto_box_SEALBYTES);
    sodium.crypto_box_seal(cipher, message, pk);
    return {
      pk: pk.toString("hex"),
      sk: sk.toString("hex"),
      message,
      cipher: cipher.toString("hex"),
    };
  };
  const sealed = lengths.map(seal);
  const open = sealed.map(({ pk, sk, message, cipher }) =>
    plain(
      `${message.length} bytes`,
      "crypto_box_seal_open",
      zeros(message.length),
      cipher,
      pk,
      sk,
    )
  );
  const results = await assertSameAsNative([...open, ...malformed(open[3]!)]);
  sealed.forEach(({ message }, i) => {
    assert.equal(results[i]!.returned, true);
    assert.equal(results[i]!.buffers[0], message.toString("hex"));
  });

  const signer = [Buffer.alloc(32), Buffer.alloc(64)] as const;
  sodium.crypto_sign_keypair(...signer);
  const agreeing = [Buffer.alloc(32), Buffer.alloc(32)] as const;
  sodium.crypto_kx_keypair(...agreeing);
  await assertSameAsNative([
    plain(
      "",
      "crypto_sign_detached",
      zeros(64),
      "abcd",
      signer[1].toString("hex"),
    ),
    plain(
      "",
      "crypto_sign_ed25519_sk_to_pk",
      zeros(32),
      signer[1].toString("hex"),
    ),
    plain("", "crypto_scalarmult_base", zeros(32), agreeing[1].toString("hex")),
  ]);
  const derived = Buffer.alloc(32);
  sodium.crypto_scalarmult_base(derived, agreeing[1]);
  assert.deepEqual(derived, agreeing[0]);
});

Deno.test("sodium: memory helpers", async () => {
  await assertSameAsNative([
    ...["", "00", "ff", "ffff", "feff00", "ffffffffffffffffffff", "00ff"].map((
      hex,
    ) => plain(`of ${hex}`, "sodium_increment", hex)),
    plain("", "sodium_memzero", randomHex(33)),
    ...malformed(plain("", "sodium_memzero", "abcd")).filter(({ args }) => args.includes("text")),
  ]);
  const large = new Uint8Array(200_000);
  sodium.randombytes_buf(large);
  for (let start = 0; start < large.length; start += 1000) {
    assert.ok(
      large.subarray(start, start + 1000).some((byte) => byte !== 0),
      `bytes from ${start} were left out`,
    );
  }
  const other = Buffer.alloc(32);
  const keygen = Buffer.alloc(32);
  sodium.randombytes_buf(other);
  sodium.crypto_secretstream_xchacha20poly1305_keygen(keygen);
  assert.notDeepEqual(keygen, other);
  assert.notDeepEqual(keygen, Buffer.alloc(32));
});

Deno.test("sodium: nothing that an installed package uses is missing", () => {
  const packages = new URL("../node_modules/.deno/", import.meta.url);
  const missing: string[] = [];
  let users = 0;
  for (const file of scriptsIn(packages)) {
    const text = Deno.readTextFileSync(file);
    if (!/require\(["']sodium-universal["']\)/.test(text)) continue;
    users++;
    // Names in prose end in other ways than Sodium's do, as in "needs to support crypto_secretstream_xchacha20poly".
    const code = text.replace(/'[^'\n]*'/g, "''");
    for (const [name] of code.matchAll(/\b(crypto|sodium|randombytes)_[a-z0-9]\w*/g)) {
      if (!(name in sodium)) missing.push(`${name} in ${file.pathname}`);
    }
  }
  assert.deepEqual(missing, []);
  assert.ok(users >= 10, `only ${users} files use sodium-universal`);
});

/** Scripts of every package but the stand-ins themselves; tests and examples of packages are never run. */
function* scriptsIn(folder: URL): Generator<URL> {
  for (const { name, isFile, isDirectory } of Deno.readDirSync(folder)) {
    if (isDirectory && !/^(test|tests|examples?|\.bin)$/.test(name)) yield* scriptsIn(new URL(`${name}/`, folder));
    else if (isFile && /\.c?js$/.test(name)) yield new URL(name, folder);
  }
}
