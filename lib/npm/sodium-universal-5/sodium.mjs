/**
 * The part of sodium-universal's interface that Hyperswarm and Hypercore use, over libsodium compiled to WASM.
 *
 * Contract: the functions, argument checks, messages and return values of sodium-native 5; every output goes into the
 * buffer that the caller hands in. tests/npm/sodium_test.ts holds it against sodium-native, byte for byte.
 */
import createLibsodium from "libsodium-sumo";

/**
 * libsodium-sumo starts asynchronously, but Hypercore hashes while it is being imported. Its factory takes an
 * `instantiateWasm` hook and runs synchronously up to the point where the functions stand on the module object; only
 * the WASM itself is out of reach, a base64 literal inside the factory. So it is read from the factory's own source.
 */
function instantiateLibsodium() {
  const wasmBase64 = /"(AGFzbQ[A-Za-z0-9+/=]+)"/.exec(
    createLibsodium.toString(),
  )?.[1];
  if (wasmBase64 === undefined) {
    throw new Error(
      "libsodium-sumo: no embedded WASM found; was its version changed?",
    );
  }
  const wasm = new WebAssembly.Module(Uint8Array.fromBase64(wasmBase64));
  const libsodium = {
    getRandomValue: () => crypto.getRandomValues(new Uint32Array(1))[0],
    instantiateWasm: (imports, done) => done(new WebAssembly.Instance(wasm, imports)),
  };
  createLibsodium(libsodium);
  if (libsodium._sodium_init() < 0) {
    throw new Error("libsodium-sumo: sodium_init failed");
  }
  return libsodium;
}

const libsodium = instantiateLibsodium();

const C = {
  crypto_aead_chacha20poly1305_ietf_ABYTES: libsodium
    ._crypto_aead_chacha20poly1305_ietf_abytes(),
  crypto_aead_chacha20poly1305_ietf_KEYBYTES: libsodium
    ._crypto_aead_chacha20poly1305_ietf_keybytes(),
  crypto_aead_chacha20poly1305_ietf_NPUBBYTES: libsodium
    ._crypto_aead_chacha20poly1305_ietf_npubbytes(),
  crypto_box_PUBLICKEYBYTES: libsodium._crypto_box_publickeybytes(),
  crypto_box_SEALBYTES: libsodium._crypto_box_sealbytes(),
  crypto_box_SECRETKEYBYTES: libsodium._crypto_box_secretkeybytes(),
  crypto_box_SEEDBYTES: libsodium._crypto_box_seedbytes(),
  crypto_generichash_BYTES: libsodium._crypto_generichash_bytes(),
  crypto_generichash_BYTES_MAX: libsodium._crypto_generichash_bytes_max(),
  crypto_generichash_BYTES_MIN: libsodium._crypto_generichash_bytes_min(),
  crypto_generichash_KEYBYTES: libsodium._crypto_generichash_keybytes(),
  crypto_generichash_KEYBYTES_MAX: libsodium._crypto_generichash_keybytes_max(),
  crypto_generichash_KEYBYTES_MIN: libsodium._crypto_generichash_keybytes_min(),
  crypto_hash_sha512_BYTES: libsodium._crypto_hash_sha512_bytes(),
  crypto_kx_PUBLICKEYBYTES: libsodium._crypto_kx_publickeybytes(),
  crypto_kx_SECRETKEYBYTES: libsodium._crypto_kx_secretkeybytes(),
  crypto_kx_SEEDBYTES: libsodium._crypto_kx_seedbytes(),
  crypto_scalarmult_BYTES: libsodium._crypto_scalarmult_bytes(),
  crypto_scalarmult_SCALARBYTES: libsodium._crypto_scalarmult_scalarbytes(),
  crypto_scalarmult_ed25519_BYTES: libsodium._crypto_scalarmult_ed25519_bytes(),
  crypto_scalarmult_ed25519_SCALARBYTES: libsodium
    ._crypto_scalarmult_ed25519_scalarbytes(),
  crypto_secretbox_KEYBYTES: libsodium._crypto_secretbox_keybytes(),
  crypto_secretbox_MACBYTES: libsodium._crypto_secretbox_macbytes(),
  crypto_secretbox_NONCEBYTES: libsodium._crypto_secretbox_noncebytes(),
  crypto_secretstream_xchacha20poly1305_ABYTES: libsodium
    ._crypto_secretstream_xchacha20poly1305_abytes(),
  crypto_secretstream_xchacha20poly1305_HEADERBYTES: libsodium
    ._crypto_secretstream_xchacha20poly1305_headerbytes(),
  crypto_secretstream_xchacha20poly1305_KEYBYTES: libsodium
    ._crypto_secretstream_xchacha20poly1305_keybytes(),
  crypto_secretstream_xchacha20poly1305_STATEBYTES: libsodium
    ._crypto_secretstream_xchacha20poly1305_statebytes(),
  crypto_secretstream_xchacha20poly1305_TAGBYTES: 1,
  crypto_secretstream_xchacha20poly1305_TAG_FINAL: libsodium
    ._crypto_secretstream_xchacha20poly1305_tag_final(),
  crypto_secretstream_xchacha20poly1305_TAG_MESSAGE: libsodium
    ._crypto_secretstream_xchacha20poly1305_tag_message(),
  crypto_secretstream_xchacha20poly1305_TAG_PUSH: libsodium
    ._crypto_secretstream_xchacha20poly1305_tag_push(),
  crypto_secretstream_xchacha20poly1305_TAG_REKEY: libsodium
    ._crypto_secretstream_xchacha20poly1305_tag_rekey(),
  crypto_sign_BYTES: libsodium._crypto_sign_bytes(),
  crypto_sign_PUBLICKEYBYTES: libsodium._crypto_sign_publickeybytes(),
  crypto_sign_SECRETKEYBYTES: libsodium._crypto_sign_secretkeybytes(),
  crypto_sign_SEEDBYTES: libsodium._crypto_sign_seedbytes(),
  crypto_stream_KEYBYTES: libsodium._crypto_stream_keybytes(),
  crypto_stream_NONCEBYTES: libsodium._crypto_stream_noncebytes(),
};

// Scratch memory inside the WASM heap: arguments are copied in, results copied out, and all of it is wiped after each call.

const INITIAL_SCRATCH_BYTES = 256 * 1024;
const ALIGN = 16;
const RANDOM_VALUES_MAX_BYTES = 65536;

let scratchSize = INITIAL_SCRATCH_BYTES;
let scratch = libsodium._malloc(scratchSize);

function slot(byteLength) {
  return Math.ceil(byteLength / ALIGN) * ALIGN;
}

function bytesOf(view) {
  return view instanceof Uint8Array ? view : new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

/**
 * Copies `views` into the heap, calls `run` with their addresses, copies the first `outputs` of them back, and returns
 * what `run` returned. Outputs are copied in too: a function that fails may leave them as they were. Every argument has
 * a place of its own, so buffers that share memory behave as distinct inputs, and outputs are written last.
 */
function call(outputs, views, run) {
  let total = 0;
  for (const view of views) total += slot(view.byteLength);
  if (total > scratchSize) {
    libsodium._free(scratch);
    scratchSize = Math.max(total, scratchSize * 2);
    scratch = libsodium._malloc(scratchSize);
    if (scratch === 0) {
      throw new Error(`libsodium: out of memory for ${total} bytes`);
    }
  }
  const addresses = [];
  let top = scratch;
  for (const view of views) {
    libsodium.HEAPU8.set(bytesOf(view), top);
    addresses.push(top);
    top += slot(view.byteLength);
  }
  try {
    const result = run(...addresses);
    for (let i = 0; i < outputs; i++) {
      bytesOf(views[i]).set(
        libsodium.HEAPU8.subarray(
          addresses[i],
          addresses[i] + views[i].byteLength,
        ),
      );
    }
    return result;
  } finally {
    libsodium.HEAPU8.fill(0, scratch, top);
  }
}

const EMPTY = new Uint8Array(0);

function check(condition, message) {
  if (!condition) throw new Error(message);
}

function checkView(view, name) {
  check(ArrayBuffer.isView(view), `${name} must be a typed array`);
}

function checkSize(view, name, constant) {
  checkView(view, name);
  check(view.byteLength === C[constant], `${name} must be '${constant}' bytes`);
}

function checkStatus(status) {
  if (status !== 0) throw new Error("status: " + status);
}

// Memory and randomness

function sodium_memzero(buf) {
  checkView(buf, "buf");
  bytesOf(buf).fill(0);
}

/** Nothing to free: `sodium_malloc`'s guarded memory does not exist here. Callers ask for `secure` buffers only. */
function sodium_free() {}

/** Adds one to a little-endian number. */
function sodium_increment(n) {
  checkView(n, "n");
  const bytes = bytesOf(n);
  for (let i = 0; i < bytes.length; i++) {
    bytes[i]++;
    if (bytes[i] !== 0) return;
  }
}

function randombytes_buf(buffer) {
  checkView(buffer, "buffer");
  const bytes = bytesOf(buffer);
  for (let start = 0; start < bytes.length; start += RANDOM_VALUES_MAX_BYTES) {
    crypto.getRandomValues(
      bytes.subarray(start, start + RANDOM_VALUES_MAX_BYTES),
    );
  }
}

// Signatures (Ed25519)

function crypto_sign_keypair(pk, sk) {
  checkSize(pk, "pk", "crypto_sign_PUBLICKEYBYTES");
  checkSize(sk, "sk", "crypto_sign_SECRETKEYBYTES");
  checkStatus(
    call(
      2,
      [pk, sk],
      (pkAt, skAt) => libsodium._crypto_sign_keypair(pkAt, skAt),
    ),
  );
}

function crypto_sign_seed_keypair(pk, sk, seed) {
  checkSize(pk, "pk", "crypto_sign_PUBLICKEYBYTES");
  checkSize(sk, "sk", "crypto_sign_SECRETKEYBYTES");
  checkSize(seed, "seed", "crypto_sign_SEEDBYTES");
  checkStatus(
    call(
      2,
      [pk, sk, seed],
      (pkAt, skAt, seedAt) => libsodium._crypto_sign_seed_keypair(pkAt, skAt, seedAt),
    ),
  );
}

function crypto_sign_detached(sig, m, sk) {
  checkView(m, "m");
  checkSize(sig, "sig", "crypto_sign_BYTES");
  checkSize(sk, "sk", "crypto_sign_SECRETKEYBYTES");
  checkStatus(
    call(
      1,
      [sig, m, sk],
      (sigAt, mAt, skAt) => libsodium._crypto_sign_detached(sigAt, 0, mAt, m.byteLength, 0, skAt),
    ),
  );
}

function crypto_sign_verify_detached(sig, m, pk) {
  checkView(sig, "sig");
  checkView(m, "m");
  check(
    sig.byteLength >= C.crypto_sign_BYTES,
    "sig must be at least 'crypto_sign_BYTES' bytes",
  );
  checkSize(pk, "pk", "crypto_sign_PUBLICKEYBYTES");
  return call(
    0,
    [sig, m, pk],
    (sigAt, mAt, pkAt) => libsodium._crypto_sign_verify_detached(sigAt, mAt, m.byteLength, 0, pkAt),
  ) === 0;
}

function crypto_sign_ed25519_sk_to_pk(pk, sk) {
  checkSize(pk, "pk", "crypto_sign_PUBLICKEYBYTES");
  checkSize(sk, "sk", "crypto_sign_SECRETKEYBYTES");
  checkStatus(
    call(
      1,
      [pk, sk],
      (pkAt, skAt) => libsodium._crypto_sign_ed25519_sk_to_pk(pkAt, skAt),
    ),
  );
}

// Public-key boxes

function crypto_box_keypair(pk, sk) {
  checkSize(pk, "pk", "crypto_box_PUBLICKEYBYTES");
  checkSize(sk, "sk", "crypto_box_SECRETKEYBYTES");
  checkStatus(
    call(
      2,
      [pk, sk],
      (pkAt, skAt) => libsodium._crypto_box_keypair(pkAt, skAt),
    ),
  );
}

function crypto_box_seed_keypair(pk, sk, seed) {
  checkSize(pk, "pk", "crypto_box_PUBLICKEYBYTES");
  checkSize(sk, "sk", "crypto_box_SECRETKEYBYTES");
  checkSize(seed, "seed", "crypto_box_SEEDBYTES");
  checkStatus(
    call(
      2,
      [pk, sk, seed],
      (pkAt, skAt, seedAt) => libsodium._crypto_box_seed_keypair(pkAt, skAt, seedAt),
    ),
  );
}

function crypto_box_seal(c, m, pk) {
  checkView(c, "c");
  checkView(m, "m");
  check(
    c.byteLength === m.byteLength + C.crypto_box_SEALBYTES,
    "c must be 'm.byteLength + crypto_box_SEALBYTES' bytes",
  );
  checkSize(pk, "pk", "crypto_box_PUBLICKEYBYTES");
  checkStatus(
    call(
      1,
      [c, m, pk],
      (cAt, mAt, pkAt) => libsodium._crypto_box_seal(cAt, mAt, m.byteLength, 0, pkAt),
    ),
  );
}

function crypto_box_seal_open(m, c, pk, sk) {
  checkView(m, "m");
  checkView(c, "c");
  check(
    c.byteLength >= C.crypto_box_SEALBYTES,
    "c must be at least 'crypto_box_SEALBYTES' bytes",
  );
  check(
    m.byteLength === c.byteLength - C.crypto_box_SEALBYTES,
    "m must be 'c.byteLength - crypto_box_SEALBYTES' bytes",
  );
  checkSize(pk, "pk", "crypto_box_PUBLICKEYBYTES");
  checkSize(sk, "sk", "crypto_box_SECRETKEYBYTES");
  return call(
    1,
    [m, c, pk, sk],
    (mAt, cAt, pkAt, skAt) => libsodium._crypto_box_seal_open(mAt, cAt, c.byteLength, 0, pkAt, skAt),
  ) === 0;
}

// Secret-key boxes

function crypto_secretbox_easy(c, m, n, k) {
  checkView(c, "c");
  checkView(m, "m");
  check(
    c.byteLength === m.byteLength + C.crypto_secretbox_MACBYTES,
    "c must be 'm.byteLength + crypto_secretbox_MACBYTES' bytes",
  );
  checkSize(n, "n", "crypto_secretbox_NONCEBYTES");
  checkSize(k, "k", "crypto_secretbox_KEYBYTES");
  checkStatus(
    call(
      1,
      [c, m, n, k],
      (cAt, mAt, nAt, kAt) => libsodium._crypto_secretbox_easy(cAt, mAt, m.byteLength, 0, nAt, kAt),
    ),
  );
}

function crypto_secretbox_open_easy(m, c, n, k) {
  checkView(m, "m");
  checkView(c, "c");
  check(
    c.byteLength >= C.crypto_secretbox_MACBYTES,
    "c must be at least 'crypto_secretbox_MACBYTES' bytes",
  );
  check(
    m.byteLength === c.byteLength - C.crypto_secretbox_MACBYTES,
    "m must be 'c.byteLength - crypto_secretbox_MACBYTES' bytes",
  );
  checkSize(n, "n", "crypto_secretbox_NONCEBYTES");
  checkSize(k, "k", "crypto_secretbox_KEYBYTES");
  return call(
    1,
    [m, c, n, k],
    (mAt, cAt, nAt, kAt) =>
      libsodium._crypto_secretbox_open_easy(
        mAt,
        cAt,
        c.byteLength,
        0,
        nAt,
        kAt,
      ),
  ) === 0;
}

// Hashes

function checkGenericHash(output, key) {
  checkView(output, "output");
  check(
    output.byteLength >= C.crypto_generichash_BYTES_MIN &&
      output.byteLength <= C.crypto_generichash_BYTES_MAX,
    "output must be between crypto_generichash_BYTES_MIN and crypto_generichash_BYTES_MAX bytes",
  );
  if (key === EMPTY) return;
  checkView(key, "key");
  check(
    key.byteLength >= C.crypto_generichash_KEYBYTES_MIN &&
      key.byteLength <= C.crypto_generichash_KEYBYTES_MAX,
    "key must be between crypto_generichash_KEYBYTES_MIN and crypto_generichash_KEYBYTES_MAX bytes",
  );
}

function crypto_generichash(output, input, key) {
  const keyed = key || EMPTY;
  checkView(input, "input");
  checkGenericHash(output, keyed);
  checkStatus(
    call(
      1,
      [output, input, keyed],
      (outputAt, inputAt, keyAt) =>
        libsodium._crypto_generichash(
          outputAt,
          output.byteLength,
          inputAt,
          input.byteLength,
          0,
          keyAt,
          keyed.byteLength,
        ),
    ),
  );
}

/** Hashes the concatenation of `batch`. */
function crypto_generichash_batch(output, batch, key) {
  let total = 0;
  for (const part of batch) {
    checkView(part, "input");
    total += part.byteLength;
  }
  const input = new Uint8Array(total);
  let at = 0;
  for (const part of batch) {
    input.set(bytesOf(part), at);
    at += part.byteLength;
  }
  crypto_generichash(output, input, key);
}

function crypto_hash_sha512(out, input) {
  checkView(input, "input");
  checkSize(out, "out", "crypto_hash_sha512_BYTES");
  checkStatus(
    call(
      1,
      [out, input],
      (outAt, inputAt) => libsodium._crypto_hash_sha512(outAt, inputAt, input.byteLength, 0),
    ),
  );
}

// Key agreement

function crypto_kx_keypair(pk, sk) {
  checkSize(pk, "pk", "crypto_kx_PUBLICKEYBYTES");
  checkSize(sk, "sk", "crypto_kx_SECRETKEYBYTES");
  checkStatus(
    call(2, [pk, sk], (pkAt, skAt) => libsodium._crypto_kx_keypair(pkAt, skAt)),
  );
}

function crypto_kx_seed_keypair(pk, sk, seed) {
  checkSize(pk, "pk", "crypto_kx_PUBLICKEYBYTES");
  checkSize(sk, "sk", "crypto_kx_SECRETKEYBYTES");
  checkSize(seed, "seed", "crypto_kx_SEEDBYTES");
  checkStatus(
    call(
      2,
      [pk, sk, seed],
      (pkAt, skAt, seedAt) => libsodium._crypto_kx_seed_keypair(pkAt, skAt, seedAt),
    ),
  );
}

function crypto_scalarmult_base(q, n) {
  checkSize(q, "q", "crypto_scalarmult_BYTES");
  checkSize(n, "n", "crypto_scalarmult_SCALARBYTES");
  checkStatus(
    call(1, [q, n], (qAt, nAt) => libsodium._crypto_scalarmult_base(qAt, nAt)),
  );
}

function crypto_scalarmult(q, n, p) {
  checkSize(q, "q", "crypto_scalarmult_BYTES");
  checkSize(n, "n", "crypto_scalarmult_SCALARBYTES");
  checkSize(p, "p", "crypto_scalarmult_BYTES");
  checkStatus(
    call(
      1,
      [q, n, p],
      (qAt, nAt, pAt) => libsodium._crypto_scalarmult(qAt, nAt, pAt),
    ),
  );
}

function crypto_scalarmult_ed25519_noclamp(q, n, p) {
  checkSize(q, "q", "crypto_scalarmult_ed25519_BYTES");
  checkSize(n, "n", "crypto_scalarmult_ed25519_SCALARBYTES");
  checkSize(p, "p", "crypto_scalarmult_ed25519_BYTES");
  checkStatus(
    call(
      1,
      [q, n, p],
      (qAt, nAt, pAt) => libsodium._crypto_scalarmult_ed25519_noclamp(qAt, nAt, pAt),
    ),
  );
}

// Authenticated encryption (ChaCha20-Poly1305, RFC 8439)

function crypto_aead_chacha20poly1305_ietf_encrypt(c, m, ad, nsec, npub, k) {
  const data = ad || EMPTY;
  check(nsec === null, "nsec must always be set to null");
  checkView(c, "c");
  checkView(m, "m");
  check(
    c.byteLength === m.byteLength + C.crypto_aead_chacha20poly1305_ietf_ABYTES,
    "c must be 'm.byteLength + crypto_aead_chacha20poly1305_ietf_ABYTES' bytes",
  );
  checkSize(npub, "npub", "crypto_aead_chacha20poly1305_ietf_NPUBBYTES");
  checkSize(k, "k", "crypto_aead_chacha20poly1305_ietf_KEYBYTES");
  const status = call(
    1,
    [c, m, data, npub, k],
    (cAt, mAt, dataAt, npubAt, kAt) =>
      libsodium._crypto_aead_chacha20poly1305_ietf_encrypt(
        cAt,
        0,
        mAt,
        m.byteLength,
        0,
        dataAt,
        data.byteLength,
        0,
        0,
        npubAt,
        kAt,
      ),
  );
  if (status < 0) throw new Error("could not encrypt data");
  return c.byteLength;
}

function crypto_aead_chacha20poly1305_ietf_decrypt(m, nsec, c, ad, npub, k) {
  const data = ad || EMPTY;
  check(nsec === null, "nsec must always be set to null");
  checkView(m, "m");
  checkView(c, "c");
  check(
    m.byteLength === c.byteLength - C.crypto_aead_chacha20poly1305_ietf_ABYTES,
    "m must be 'c.byteLength - crypto_aead_chacha20poly1305_ietf_ABYTES' bytes",
  );
  checkSize(npub, "npub", "crypto_aead_chacha20poly1305_ietf_NPUBBYTES");
  checkSize(k, "k", "crypto_aead_chacha20poly1305_ietf_KEYBYTES");
  const status = call(
    1,
    [m, c, data, npub, k],
    (mAt, cAt, dataAt, npubAt, kAt) =>
      libsodium._crypto_aead_chacha20poly1305_ietf_decrypt(
        mAt,
        0,
        0,
        cAt,
        c.byteLength,
        0,
        dataAt,
        data.byteLength,
        0,
        npubAt,
        kAt,
      ),
  );
  if (status < 0) throw new Error("could not verify data");
  return m.byteLength;
}

// Secret stream (XChaCha20-Poly1305)

function crypto_secretstream_xchacha20poly1305_keygen(k) {
  checkSize(k, "k", "crypto_secretstream_xchacha20poly1305_KEYBYTES");
  randombytes_buf(k);
}

function crypto_secretstream_xchacha20poly1305_init_push(state, header, k) {
  checkView(header, "header");
  checkSize(state, "state", "crypto_secretstream_xchacha20poly1305_STATEBYTES");
  checkSize(
    header,
    "header",
    "crypto_secretstream_xchacha20poly1305_HEADERBYTES",
  );
  checkSize(k, "k", "crypto_secretstream_xchacha20poly1305_KEYBYTES");
  checkStatus(
    call(
      2,
      [state, header, k],
      (stateAt, headerAt, kAt) =>
        libsodium._crypto_secretstream_xchacha20poly1305_init_push(
          stateAt,
          headerAt,
          kAt,
        ),
    ),
  );
}

function crypto_secretstream_xchacha20poly1305_init_pull(state, header, k) {
  checkView(header, "header");
  checkSize(state, "state", "crypto_secretstream_xchacha20poly1305_STATEBYTES");
  checkSize(
    header,
    "header",
    "crypto_secretstream_xchacha20poly1305_HEADERBYTES",
  );
  checkSize(k, "k", "crypto_secretstream_xchacha20poly1305_KEYBYTES");
  checkStatus(
    call(
      1,
      [state, header, k],
      (stateAt, headerAt, kAt) =>
        libsodium._crypto_secretstream_xchacha20poly1305_init_pull(
          stateAt,
          headerAt,
          kAt,
        ),
    ),
  );
}

function crypto_secretstream_xchacha20poly1305_push(state, c, m, ad, tag) {
  const data = ad || EMPTY;
  checkView(c, "c");
  checkView(m, "m");
  checkSize(state, "state", "crypto_secretstream_xchacha20poly1305_STATEBYTES");
  check(
    c.byteLength ===
      m.byteLength + C.crypto_secretstream_xchacha20poly1305_ABYTES,
    "c must be 'm.byteLength + crypto_secretstream_xchacha20poly1305_ABYTES' bytes",
  );
  const status = call(
    2,
    [state, c, m, data],
    (stateAt, cAt, mAt, dataAt) =>
      libsodium._crypto_secretstream_xchacha20poly1305_push(
        stateAt,
        cAt,
        0,
        mAt,
        m.byteLength,
        0,
        dataAt,
        data.byteLength,
        0,
        tag,
      ),
  );
  if (status < 0) throw new Error("push failed");
  return c.byteLength;
}

function crypto_secretstream_xchacha20poly1305_pull(state, m, tag, c, ad) {
  const data = ad || EMPTY;
  checkSize(state, "state", "crypto_secretstream_xchacha20poly1305_STATEBYTES");
  checkView(tag, "tag");
  check(tag.byteLength === 1, "tag must be 1 byte");
  checkView(c, "c");
  check(
    c.byteLength >= C.crypto_secretstream_xchacha20poly1305_ABYTES,
    "c must be at least 'crypto_secretstream_xchacha20poly1305_ABYTES' bytes",
  );
  checkView(m, "m");
  check(
    m.byteLength ===
      c.byteLength - C.crypto_secretstream_xchacha20poly1305_ABYTES,
    "m must be 'c.byteLength - crypto_secretstream_xchacha20poly1305_ABYTES' bytes",
  );
  const status = call(
    3,
    [state, m, tag, c, data],
    (stateAt, mAt, tagAt, cAt, dataAt) =>
      libsodium._crypto_secretstream_xchacha20poly1305_pull(
        stateAt,
        mAt,
        0,
        tagAt,
        cAt,
        c.byteLength,
        0,
        dataAt,
        data.byteLength,
      ),
  );
  if (status < 0) throw new Error("pull failed");
  return m.byteLength;
}

// Stream cipher (XSalsa20), Hypercore's block encryption

function crypto_stream_xor(c, m, n, k) {
  checkView(c, "c");
  checkView(m, "m");
  check(c.byteLength === m.byteLength, "c must be 'm.byteLength' bytes");
  checkSize(n, "n", "crypto_stream_NONCEBYTES");
  checkSize(k, "k", "crypto_stream_KEYBYTES");
  checkStatus(
    call(
      1,
      [c, m, n, k],
      (cAt, mAt, nAt, kAt) => libsodium._crypto_stream_xor(cAt, mAt, m.byteLength, 0, nAt, kAt),
    ),
  );
}

const sodium = {
  ...C,
  crypto_aead_chacha20poly1305_ietf_decrypt,
  crypto_aead_chacha20poly1305_ietf_encrypt,
  crypto_box_keypair,
  crypto_box_seal,
  crypto_box_seal_open,
  crypto_box_seed_keypair,
  crypto_generichash,
  crypto_generichash_batch,
  crypto_hash_sha512,
  crypto_kx_keypair,
  crypto_kx_seed_keypair,
  crypto_scalarmult,
  crypto_scalarmult_base,
  crypto_scalarmult_ed25519_noclamp,
  crypto_secretbox_easy,
  crypto_secretbox_open_easy,
  crypto_secretstream_xchacha20poly1305_init_pull,
  crypto_secretstream_xchacha20poly1305_init_push,
  crypto_secretstream_xchacha20poly1305_keygen,
  crypto_secretstream_xchacha20poly1305_pull,
  crypto_secretstream_xchacha20poly1305_push,
  crypto_sign_detached,
  crypto_sign_ed25519_sk_to_pk,
  crypto_sign_keypair,
  crypto_sign_seed_keypair,
  crypto_sign_verify_detached,
  crypto_stream_xor,
  randombytes_buf,
  sodium_free,
  sodium_increment,
  sodium_memzero,
};

// CommonJS callers get the object itself from require().
export { sodium as "module.exports", sodium as default };
