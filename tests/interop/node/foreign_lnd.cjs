// LND nodes as somebody else would write them: LND's own .proto files, TLS by node-forge's certificates, macaroons that are
// only compared, invoices of the package `invoices`, and answers as LND 0.19 gave them to the same calls. Nothing of
// Tightrope is used. Commands as JSON lines on stdin (`id` and the name of an action below), answers and `ready` as JSON
// lines on stdout.
const { createHash, generateKeyPairSync, randomBytes } = require("node:crypto");
const net = require("node:net");
const path = require("node:path");
const readline = require("node:readline");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");
const forge = require("node-forge");
const ecc = require("tiny-secp256k1");
const { createSignedRequest, createUnsignedRequest, parsePaymentRequest } = require("invoices");

const HEIGHT = 472;
const FEE_PER_KW = 1250n;
const ANCHORS_SAT = 660n;
/** The payee's ListChannels follows its own settled invoice by this. */
const PAYEE_LAG_MS = 33;
const NO_PREIMAGE = "0".repeat(64);

const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest();
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const nowNs = () => String(BigInt(Date.now()) * 1_000_000n);
const seconds = () => Math.floor(Date.now() / 1000);
const print = (event) => process.stdout.write(JSON.stringify(event) + "\n");

const protos = grpc.loadPackageDefinition(loader.loadSync(
  ["lightning", "router", "invoices", "stateservice"].map((name) => `${name}.proto`),
  {
    keepCase: true,
    longs: String,
    enums: String,
    defaults: false,
    oneofs: true,
    includeDirs: [path.join(path.dirname(require.resolve("lightning/package.json")), "grpc/protos")],
  },
));

/** A failure with a gRPC status, thrown by handlers. */
class Refusal extends Error {
  constructor(code, details) {
    super(details);
    Object.assign(this, { code, details });
  }
}

/** @param names `dns`, `ip` (alternative names) and `cn` */
function makeCertificate({ cn, dns = [], ip = [] }) {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", {
    modulusLength: 2048,
    privateKeyEncoding: { type: "pkcs1", format: "pem" },
    publicKeyEncoding: { type: "spki", format: "pem" },
  });
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = forge.pki.publicKeyFromPem(publicKey);
  certificate.serialNumber = `01${randomBytes(8).toString("hex")}`;
  certificate.validity.notBefore = new Date(Date.now() - 3_600_000);
  certificate.validity.notAfter = new Date(Date.now() + 365 * 86_400_000);
  const names = [{ name: "commonName", value: cn }, { name: "organizationName", value: "somebody else" }];
  certificate.setSubject(names);
  certificate.setIssuer(names);
  const altNames = [...dns.map((value) => ({ type: 2, value })), ...ip.map((value) => ({ type: 7, ip: value }))];
  certificate.setExtensions([
    { name: "basicConstraints", cA: true, critical: true },
    ...(altNames.length > 0 ? [{ name: "subjectAltName", altNames }] : []),
  ]);
  certificate.sign(forge.pki.privateKeyFromPem(privateKey), forge.md.sha256.create());
  return { certPem: forge.pki.certificateToPem(certificate), keyPem: privateKey };
}

const ZBASE32 = "ybndrfg8ejkmcpqxot1uwisza345h769";

function zbase32(bytes) {
  let text = "";
  let bits = 0;
  let value = 0;
  for (const byte of bytes) {
    value = (value << 8) | byte;
    bits += 8;
    while (bits >= 5) text += ZBASE32[(value >> (bits -= 5)) & 31];
    value &= (1 << bits) - 1;
  }
  return bits > 0 ? text + ZBASE32[(value << (5 - bits)) & 31] : text;
}

/** A channel between two nodes. Amounts are satoshis as bigint; `a` opened it and pays for the commitment. */
class Channel {
  static #next = 0;

  constructor({ a, b, capacity, push, isPrivate = false }) {
    const number = ++Channel.#next;
    this.a = a;
    this.b = b;
    this.capacity = BigInt(capacity);
    this.push = BigInt(push);
    this.isPrivate = isPrivate;
    this.txid = randomBytes(32);
    this.output = number % 2;
    this.id = String((BigInt(400 + number) << 40n) | (BigInt(number) << 16n) | BigInt(this.output));
    this.active = true;
    this.openedAt = seconds();
    this.htlcs = 0;
    /** What each side sees: its own funds and the other's, and what is under way. */
    this.views = new Map([a, b].map((node) => [node, { sent: 0n, received: 0n, updates: 0, pending: [] }]));
    this.#fund(a, this.capacity - this.push);
    this.#fund(b, this.push);
  }

  get point() {
    return `${Buffer.from(this.txid).reverse().toString("hex")}:${this.output}`;
  }

  other(node) {
    return node === this.a ? this.b : this.a;
  }

  #fund(node, own) {
    Object.assign(this.views.get(node), { own, theirs: this.capacity - own });
  }

  get reserve() {
    return this.capacity / 100n;
  }

  balances(node) {
    const { own, theirs, pending } = this.views.get(node);
    const fee = (1124n + 172n * BigInt(pending.length)) * FEE_PER_KW / 1000n;
    const cost = fee + ANCHORS_SAT;
    const [local, remote] = node === this.a ? [own - cost, theirs] : [own, theirs - cost];
    // Without the peer's output its anchor isn't there, and what it would hold goes to the fee.
    const lacks = local === 0n || remote === 0n;
    return { local, remote, fee: lacks ? fee + ANCHORS_SAT / 2n : fee, lacks };
  }

  /** As ListChannels tells it to one side. */
  forSide(node) {
    const { sent, received, updates, pending } = this.views.get(node);
    const { local, remote, fee, lacks } = this.balances(node);
    const constraints = {
      csv_delay: 144,
      chan_reserve_sat: String(this.reserve),
      dust_limit_sat: "354",
      max_pending_amt_msat: String(this.capacity * 990n),
      min_htlc_msat: "1",
      max_accepted_htlcs: 483,
    };
    return {
      active: this.active,
      remote_pubkey: this.other(node).pubkey,
      channel_point: this.point,
      chan_id: this.id,
      capacity: String(this.capacity),
      local_balance: String(local),
      remote_balance: String(remote),
      commit_fee: String(fee),
      commit_weight: String((lacks ? 772 : 1116) + 172 * pending.length),
      fee_per_kw: String(FEE_PER_KW),
      unsettled_balance: String(pending.reduce((sum, htlc) => sum + htlc.amount, 0n)),
      total_satoshis_sent: String(sent),
      total_satoshis_received: String(received),
      num_updates: String(updates),
      pending_htlcs: pending.map(({ payer, amount, hash, index }) => ({
        incoming: payer !== node,
        amount: String(amount),
        hash_lock: Buffer.from(hash, "hex"),
        expiration_height: HEIGHT + 83,
        htlc_index: String(index),
        forwarding_channel: "0",
        forwarding_htlc_index: "0",
        locked_in: true,
      })),
      csv_delay: 144,
      private: this.isPrivate,
      initiator: node === this.a,
      chan_status_flags: "ChanStatusDefault",
      local_chan_reserve_sat: String(this.reserve),
      remote_chan_reserve_sat: String(this.reserve),
      lifetime: String(seconds() - this.openedAt),
      uptime: String(seconds() - this.openedAt),
      commitment_type: "ANCHORS",
      push_amount_sat: String(this.push),
      local_constraints: constraints,
      remote_constraints: constraints,
    };
  }

  /** LND 0.18 and later keep room for two more HTLCs at twice the fee rate. */
  spendable(node) {
    const { local, fee } = this.balances(node);
    return local - this.reserve - (node === this.a ? 2n * FEE_PER_KW * 1468n / 1000n - fee : 0n);
  }

  add(node, htlc) {
    const view = this.views.get(node);
    view.pending.push(htlc);
    view.updates++;
    if (htlc.payer === node) view.own -= htlc.amount;
    else view.theirs -= htlc.amount;
  }

  resolve(node, htlc, settled) {
    const view = this.views.get(node);
    view.pending = view.pending.filter((one) => one !== htlc);
    view.updates++;
    const pays = htlc.payer === node;
    if (settled) view[pays ? "sent" : "received"] += htlc.amount;
    if (pays === settled) view.theirs += htlc.amount;
    else view.own += htlc.amount;
  }
}

class Node {
  constructor({ name, alias = name, certificate, options = {} }) {
    Object.assign(this, { name, alias });
    /** Any node may leave out what a real one may leave out, and take its time. */
    this.options = {
      events: true,
      state: true,
      htlcDetails: true,
      initiated: false,
      paymentMs: 125,
      answerMs: 1,
      badMacaroon: [2, "verification failed: signature mismatch after caveat verification"],
      ...options,
    };
    do this.key = randomBytes(32); while (!ecc.isPrivate(this.key));
    this.pubkey = Buffer.from(ecc.pointFromScalar(this.key, true)).toString("hex");
    this.macaroon = randomBytes(86).toString("hex");
    Object.assign(this, makeCertificate(certificate));
    this.invoices = new Map();
    this.payments = [];
    this.sentPayments = 0;
    this.htlcStreams = new Set();
    this.channelStreams = new Set();
    this.sockets = new Set();
    this.isUp = true;
    this.upAgain = [];
  }

  /** gRPC listens somewhere; operators reach it through a socket that can die and come back. */
  async listen() {
    this.server = new grpc.Server();
    this.server.addService(protos.lnrpc.Lightning.service, this.#guarded(lightning(this)));
    this.server.addService(protos.routerrpc.Router.service, this.#guarded(router(this)));
    this.server.addService(protos.invoicesrpc.Invoices.service, this.#guarded(invoicesService(this)));
    if (this.options.state) {
      this.server.addService(protos.lnrpc.State.service, {
        GetState: (_call, done) => done(null, { state: "SERVER_ACTIVE" }),
      });
    }
    const credentials = grpc.ServerCredentials.createSsl(null, [{
      private_key: Buffer.from(this.keyPem),
      cert_chain: Buffer.from(this.certPem),
    }]);
    this.inner = await new Promise((resolve, reject) =>
      this.server.bindAsync("127.0.0.1:0", credentials, (error, port) => error ? reject(error) : resolve(port))
    );
    await this.up();
  }

  async up() {
    this.isUp = true;
    this.front = net.createServer((outer) => {
      const inner = net.connect(this.inner, "127.0.0.1");
      for (const [socket, to] of [[outer, inner], [inner, outer]]) {
        this.sockets.add(socket);
        socket.setNoDelay(true);
        socket.pipe(to);
        socket.on("error", () => {});
        socket.on("close", () => {
          this.sockets.delete(socket);
          to.destroy();
        });
      }
    });
    await new Promise((resolve) => this.front.listen(this.port ?? 0, "127.0.0.1", resolve));
    this.port = this.front.address().port;
    for (const resolve of this.upAgain.splice(0)) resolve();
  }

  /** As by kill -9: every connection breaks and nothing listens. */
  async down() {
    this.isUp = false;
    const closed = new Promise((resolve) => this.front.close(resolve));
    for (const socket of this.sockets) socket.resetAndDestroy();
    await closed;
  }

  async untilUp() {
    while (!this.isUp) await new Promise((resolve) => this.upAgain.push(resolve));
  }

  /** Macaroons before everything else, failures as statuses. */
  #guarded(handlers) {
    const check = (call) => {
      const given = call.metadata.get("macaroon");
      if (given.length !== 1) throw new Refusal(2, `expected 1 macaroon, got ${given.length}`);
      if (given[0] !== this.macaroon) throw new Refusal(...this.options.badMacaroon);
    };
    const guarded = {};
    for (const [name, handler] of Object.entries(handlers)) {
      guarded[name] = async (call, done) => {
        try {
          check(call);
          if (done === undefined) return await handler(call);
          await sleep(this.options.answerMs);
          done(null, await handler(call.request));
        } catch (error) {
          const status = error instanceof Refusal ? error : new Refusal(2, String(error.stack));
          if (done === undefined) call.emit("error", status);
          else done(status);
        }
      };
    }
    return guarded;
  }

  channels() {
    return channels.filter(({ a, b }) => a === this || b === this);
  }

  tellHtlc(event) {
    if (this.options.events) { for (const call of this.htlcStreams) call.write({ timestamp_ns: nowNs(), ...event }); }
  }

  tellChannel(event) {
    if (this.options.events) { for (const call of this.channelStreams) call.write(event); }
  }

  addInvoice({ memo = "", value = "0", value_msat = "0", expiry = "0", cltv_expiry = "0" }) {
    if (BigInt(value) < 0n || BigInt(value_msat) < 0n) {
      throw new Refusal(2, `payments of negative value are not allowed, value is ${value}`);
    }
    if (Buffer.byteLength(memo) > 1024) throw new Refusal(2, `memo too large: ${memo.length} bytes (maxsize=1024)`);
    const preimage = randomBytes(32);
    const hash = sha256(preimage);
    const paymentAddr = randomBytes(32);
    const expirySec = Number(expiry) || 86_400;
    const msat = BigInt(value) * 1000n || BigInt(value_msat);
    const createdAt = seconds();
    const unsigned = createUnsignedRequest({
      created_at: new Date(createdAt * 1000).toISOString(),
      expires_at: new Date((createdAt + expirySec) * 1000).toISOString(),
      description: memo,
      destination: this.pubkey,
      features: [8, 14, 17, 25].map((bit) => ({ bit })),
      cltv_delta: Number(cltv_expiry) || 80,
      id: hash.toString("hex"),
      mtokens: String(msat),
      network: "regtest",
      payment: paymentAddr.toString("hex"),
    });
    const signature = Buffer.from(ecc.sign(Buffer.from(unsigned.hash, "hex"), this.key)).toString("hex");
    const { request } = createSignedRequest({
      destination: this.pubkey,
      hrp: unsigned.hrp,
      signature,
      tags: unsigned.tags,
    });
    const invoice = {
      memo,
      preimage,
      hash,
      paymentAddr,
      msat,
      createdAt,
      expirySec,
      request,
      state: "OPEN",
      settledAt: 0,
      settleIndex: 0,
      addIndex: this.invoices.size + 1,
      htlcs: [],
    };
    this.invoices.set(hash.toString("hex"), invoice);
    // LND has no expired invoices: they become cancelled.
    setTimeout(() => {
      if (invoice.state === "OPEN") invoice.state = "CANCELED";
    }, expirySec * 1000).unref();
    return { r_hash: hash, payment_request: request, add_index: String(invoice.addIndex), payment_addr: paymentAddr };
  }
}

const INVOICE_FEATURES = {
  8: { name: "tlv-onion", is_required: true, is_known: true },
  14: { name: "payment-addr", is_required: true, is_known: true },
  17: { name: "multi-path-payments", is_required: false, is_known: true },
  25: { name: "route-blinding", is_required: false, is_known: true },
};

function invoiceReply(invoice) {
  const paid = invoice.state === "SETTLED" || invoice.state === "ACCEPTED" ? invoice.msat : 0n;
  return {
    memo: invoice.memo,
    r_preimage: invoice.preimage,
    r_hash: invoice.hash,
    value: String(invoice.msat / 1000n),
    settled: invoice.state === "SETTLED",
    creation_date: String(invoice.createdAt),
    settle_date: String(invoice.settledAt),
    payment_request: invoice.request,
    expiry: String(invoice.expirySec),
    cltv_expiry: "80",
    add_index: String(invoice.addIndex),
    settle_index: String(invoice.settleIndex),
    amt_paid: String(paid),
    amt_paid_sat: String(paid / 1000n),
    amt_paid_msat: String(paid),
    state: invoice.state,
    htlcs: invoice.htlcs,
    value_msat: String(invoice.msat),
    features: INVOICE_FEATURES,
    payment_addr: invoice.paymentAddr,
  };
}

function decode(request) {
  if (request === "") throw new Refusal(2, "invalid bech32 string length 0");
  try {
    return parsePaymentRequest({ request });
  } catch {
    throw new Refusal(2, "checksum failed. Expected tmg8qp, got tmg8qq.");
  }
}

function lightning(node) {
  return {
    GetInfo: () => ({
      identity_pubkey: node.pubkey,
      alias: node.alias,
      num_active_channels: node.channels().filter(({ active }) => active).length,
      num_inactive_channels: node.channels().filter(({ active }) => !active).length,
      num_peers: 1,
      block_height: HEIGHT,
      block_hash: "67".repeat(32),
      best_header_timestamp: String(seconds()),
      synced_to_chain: true,
      synced_to_graph: true,
      version: "0.19.3-beta commit=",
      chains: [{ chain: "bitcoin", network: "regtest" }],
      uris: [`${node.pubkey}@127.0.0.1:9735`],
      color: "#3399ff",
    }),
    ListChannels: ({ active_only: activeOnly }) => ({
      channels: node.channels().filter(({ active }) => active || !activeOnly).map((channel) => channel.forSide(node)),
    }),
    ListPayments: ({ include_incomplete: all, index_offset: offset = "0", max_payments: max = "0", reversed }) => {
      if (reversed) throw new Error("reversed isn't offered here");
      const found = node.payments
        .filter(({ payment_index: index }) => BigInt(index) > BigInt(offset))
        .filter(({ status }) => all || status === "SUCCEEDED")
        .slice(0, Number(max) || undefined);
      const at = (payment) => payment?.payment_index ?? "0";
      return { payments: found, first_index_offset: at(found[0]), last_index_offset: at(found.at(-1)) };
    },
    AddInvoice: (request) => node.addInvoice(request),
    LookupInvoice: ({ r_hash: hash, r_hash_str: text }) => {
      const invoice = node.invoices.get(text || Buffer.from(hash ?? []).toString("hex"));
      if (invoice === undefined) throw new Refusal(5, "unable to locate invoice");
      return invoiceReply(invoice);
    },
    DecodePayReq: ({ pay_req: request = "" }) => {
      const { id, payment, mtokens, tokens, ...invoice } = decode(request);
      if (invoice.network !== "regtest") {
        throw new Refusal(2, "invoice not for current active network 'regtest'");
      }
      const createdAt = Date.parse(invoice.created_at) / 1000;
      return {
        destination: invoice.destination,
        payment_hash: id,
        num_satoshis: String(tokens ?? 0),
        num_msat: mtokens ?? "0",
        timestamp: String(createdAt),
        expiry: String(Date.parse(invoice.expires_at) / 1000 - createdAt),
        description: invoice.description,
        cltv_expiry: String(invoice.cltv_delta),
        payment_addr: Buffer.from(payment, "hex"),
        features: INVOICE_FEATURES,
      };
    },
    SignMessage: ({ msg, single_hash: single }) => {
      if (msg === undefined || msg.length === 0) throw new Refusal(2, "need a message to sign");
      const once = sha256("Lightning Signed Message:", msg);
      const { signature, recoveryId } = ecc.signRecoverable(single ? once : sha256(once), node.key);
      return { signature: zbase32([27 + 4 + recoveryId, ...signature]) };
    },
    SubscribeChannelEvents: (call) => subscribe(call, node.channelStreams),
  };
}

function subscribe(call, streams) {
  streams.add(call);
  call.on("cancelled", () => {
    streams.delete(call);
    call.end();
  });
}

function invoicesService(node) {
  return {
    CancelInvoice: ({ payment_hash: hash }) => {
      const invoice = node.invoices.get(Buffer.from(hash).toString("hex"));
      if (invoice === undefined) throw new Refusal(2, "unable to locate invoice");
      if (invoice.state === "SETTLED") throw new Refusal(2, "invoice already settled");
      invoice.state = "CANCELED";
      return {};
    },
  };
}

function router(node) {
  return {
    SubscribeHtlcEvents: (call) => {
      subscribe(call, node.htlcStreams);
      if (node.options.events) call.write({ event_type: "UNKNOWN", subscribed_event: {} });
    },
    TrackPaymentV2: (call) => {
      const hash = Buffer.from(call.request.payment_hash ?? []);
      if (hash.length !== 32) throw new Refusal(2, `invalid hash length of ${hash.length}, want 32`);
      const payment = node.payments.findLast(({ payment_hash: one }) => one === hash.toString("hex"));
      if (payment === undefined) throw new Refusal(5, "payment isn't initiated");
      follow(node, call, payment, call.request.no_inflight_updates);
    },
    SendPaymentV2: (call) => {
      const { payment, ...request } = begin(node, call.request);
      follow(node, call, payment, call.request.no_inflight_updates);
      void pay(node, payment, request);
    },
  };
}

/** Writes a payment's states to a stream until the last. */
function follow(node, call, payment, quiet) {
  const write = () => {
    const isOver = payment.status === "SUCCEEDED" || payment.status === "FAILED";
    if (isOver || !quiet) {
      const shown = isOver || node.options.htlcDetails ? payment : { ...payment, htlcs: [] };
      const early = node.options.initiated && payment.htlcs.length === 0 && !isOver;
      call.write(early ? { ...shown, status: "INITIATED" } : shown);
    }
    if (isOver) {
      payment.streams.delete(write);
      call.end();
    }
  };
  payment.streams.add(write);
  call.on("cancelled", () => payment.streams.delete(write));
  write();
}

/** What SendPaymentV2 refuses before there is a payment. */
function begin(node, request) {
  const invoice = decode(request.payment_request ?? "");
  const { id: hash, mtokens, destination } = invoice;
  if (destination === node.pubkey && !request.allow_self_payment) throw new Refusal(2, "self-payments not allowed");
  if (invoice.is_expired) {
    throw new Refusal(2, `invoice expired. Valid until ${invoice.expires_at}`);
  }
  if (Number(request.amt ?? 0) !== 0 || Number(request.amt_msat ?? 0) !== 0) {
    throw new Refusal(2, "amount must not be specified when paying a non-zero  amount invoice");
  }
  const earlier = node.payments.findIndex(({ payment_hash: one }) => one === hash);
  if (earlier >= 0) {
    const { status } = node.payments[earlier];
    if (status === "SUCCEEDED") throw new Refusal(6, "invoice is already paid");
    if (status === "IN_FLIGHT") throw new Refusal(6, "payment is in transition");
    node.payments.splice(earlier, 1);
  }
  const value = String(BigInt(mtokens) / 1000n);
  const payment = {
    payment_hash: hash,
    value,
    value_sat: value,
    value_msat: mtokens,
    creation_date: String(seconds()),
    creation_time_ns: nowNs(),
    payment_preimage: NO_PREIMAGE,
    payment_request: request.payment_request,
    status: "IN_FLIGHT",
    htlcs: [],
    payment_index: String(++node.sentPayments),
    failure_reason: "FAILURE_REASON_NONE",
    streams: new Set(),
  };
  node.payments.push(payment);
  return { payment, invoice, chanIds: (request.outgoing_chan_ids ?? []).map(String) };
}

async function pay(node, payment, { invoice, chanIds }) {
  const { paymentMs } = node.options;
  const tell = () => payment.streams.forEach((write) => write());
  const fail = (reason) => {
    Object.assign(payment, { status: "FAILED", failure_reason: `FAILURE_REASON_${reason}` });
    tell();
  };
  if (paymentMs > 0) await sleep(Math.min(12, paymentMs / 4));
  const amount = BigInt(payment.value_sat);
  const allowed = node.channels().filter(({ id, active }) => active && (chanIds.length === 0 || chanIds.includes(id)));
  const able = allowed.filter((channel) => channel.spendable(node) >= amount);
  if (able.length === 0) return fail("INSUFFICIENT_BALANCE");
  const direct = able.filter((channel) => channel.other(node).pubkey === invoice.destination);
  if (direct.length === 0) return fail("NO_ROUTE");
  const channel = direct[Math.floor(Math.random() * direct.length)];
  const payee = channel.other(node);
  const htlc = { payer: node, amount, hash: payment.payment_hash, index: channel.htlcs++ };
  const attempt = {
    status: "IN_FLIGHT",
    attempt_time_ns: nowNs(),
    attempt_id: String(htlc.index + 1),
    route: {
      total_time_lock: HEIGHT + 83,
      total_amt: String(amount),
      total_amt_msat: payment.value_msat,
      first_hop_amount_msat: payment.value_msat,
      hops: [{
        chan_id: channel.id,
        chan_capacity: String(channel.capacity),
        amt_to_forward: String(amount),
        amt_to_forward_msat: payment.value_msat,
        expiry: HEIGHT + 83,
        pub_key: payee.pubkey,
        tlv_payload: true,
        mpp_record: {
          total_amt_msat: payment.value_msat,
          payment_addr: Buffer.from(invoice.payment ?? "", "hex"),
        },
      }],
    },
  };
  payment.htlcs = [attempt];
  tell();
  await payee.untilUp();
  channel.add(node, htlc);
  channel.add(payee, htlc);
  const sends = {
    outgoing_channel_id: channel.id,
    outgoing_htlc_id: String(htlc.index),
    event_type: "SEND",
  };
  const receives = {
    incoming_channel_id: channel.id,
    incoming_htlc_id: String(htlc.index),
    event_type: "RECEIVE",
  };
  node.tellHtlc({
    ...sends,
    forward_event: { info: { outgoing_timelock: HEIGHT + 83, outgoing_amt_msat: payment.value_msat } },
  });
  if (paymentMs > 0) await sleep(paymentMs);
  await payee.untilUp();
  const owed = payee.invoices.get(payment.payment_hash);
  const settled = owed !== undefined && owed.state === "OPEN" && owed.msat === BigInt(payment.value_msat);
  if (settled) {
    Object.assign(owed, { state: "SETTLED", settledAt: seconds(), settleIndex: ++settleIndexes });
    owed.htlcs.push({
      chan_id: channel.id,
      htlc_index: String(htlc.index),
      amt_msat: payment.value_msat,
      accept_height: HEIGHT,
      accept_time: String(seconds()),
      resolve_time: String(seconds()),
      expiry_height: HEIGHT + 83,
      state: "SETTLED",
      mpp_total_amt_msat: payment.value_msat,
    });
    payee.tellHtlc({ ...receives, settle_event: { preimage: owed.preimage } });
  } else {
    payee.tellHtlc({
      ...receives,
      link_fail_event: {
        wire_failure: "INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS",
        failure_detail: "INVOICE_NOT_OPEN",
        failure_string: "invoice no longer open",
      },
    });
  }
  setTimeout(() => {
    channel.resolve(payee, htlc, settled);
    payee.tellHtlc({ ...receives, event_type: "UNKNOWN", final_htlc_event: { settled, offchain: true } });
  }, paymentMs > 0 ? PAYEE_LAG_MS : 0);
  if (paymentMs > 0) await sleep(5);
  await node.untilUp();
  channel.resolve(node, htlc, settled);
  attempt.resolve_time_ns = nowNs();
  if (settled) {
    node.tellHtlc({ ...sends, settle_event: { preimage: owed.preimage } });
    Object.assign(attempt, { status: "SUCCEEDED", preimage: owed.preimage });
    Object.assign(payment, { status: "SUCCEEDED", payment_preimage: owed.preimage.toString("hex") });
    tell();
  } else {
    node.tellHtlc({ ...sends, forward_fail_event: {} });
    payment.failure_reason = "FAILURE_REASON_INCORRECT_PAYMENT_DETAILS";
    tell();
    attempt.status = "FAILED";
    attempt.failure = {
      code: "INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS",
      failure_source_index: 1,
      height: HEIGHT,
    };
    fail("INCORRECT_PAYMENT_DETAILS");
  }
}

const nodes = new Map();
const channels = [];
let settleIndexes = 0;

async function open({ from, to, capacity, push, isPrivate }, confirmMs) {
  const [a, b] = [nodes.get(from), nodes.get(to)];
  const channel = new Channel({ a, b, capacity, push, isPrivate });
  const pending = { txid: channel.txid, output_index: channel.output };
  for (const node of [a, b]) node.tellChannel({ type: "PENDING_OPEN_CHANNEL", pending_open_channel: pending });
  if (confirmMs > 0) await sleep(confirmMs);
  channels.push(channel);
  const point = { funding_txid_bytes: channel.txid, output_index: channel.output };
  for (const node of [a, b]) {
    node.tellChannel({ type: "OPEN_CHANNEL", open_channel: channel.forSide(node) });
    node.tellChannel({ type: "ACTIVE_CHANNEL", active_channel: point });
  }
  return { point: channel.point, chanId: channel.id };
}

const channelOf = (point) => channels.find((channel) => channel.point === point);

/** What can be asked of the world on stdin. */
const actions = {
  open: (command) => open(command, 300),
  state: ({ point }) => {
    const channel = channelOf(point);
    return {
      sides: [channel.a, channel.b].map((node) => {
        const { local_balance, remote_balance, unsettled_balance } = channel.forSide(node);
        return { node: node.name, local: local_balance, remote: remote_balance, unsettled: unsettled_balance };
      }),
    };
  },
  payments: ({ name }) =>
    nodes.get(name).payments.map(({ payment_hash: hash, status, value_sat: sat, htlcs }) => ({
      hash,
      status,
      sat,
      chanIds: htlcs.flatMap(({ route }) => route.hops.map((hop) => hop.chan_id)),
    })),
  set: ({ name, options }) => void Object.assign(nodes.get(name).options, options),
  down: ({ name }) => nodes.get(name).down(),
  up: ({ name }) => nodes.get(name).up(),
};

async function main(spec) {
  for (const one of spec.nodes) nodes.set(one.name, new Node(one));
  const opened = [];
  for (const one of spec.channels) opened.push(await open(one, 0));
  for (const node of nodes.values()) await node.listen();
  print({
    kind: "ready",
    nodes: [...nodes.values()].map(({ name, pubkey, certPem, macaroon, port }) => ({
      name,
      pubkey,
      certPem,
      macaroon,
      port,
    })),
    channels: opened,
  });
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { id, action, ...command } = JSON.parse(line);
    print({ id, result: (await actions[action](command)) ?? null });
  }
  process.exit(0);
}

main(JSON.parse(process.argv.at(-1)));
