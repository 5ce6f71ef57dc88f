// Drives a UDX by commands, each a JSON value with a JSON answer: the same code drives ours in the test's own process
// and udx-native in a Node process, so that one scene can play with either of them at either end.
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { EventEmitter } from "node:events";

const SOCKET_EVENTS = ["listening", "busy", "idle", "close", "message"];
const STREAM_EVENTS = ["connect", "end", "finish", "close", "error", "message", "remote-changed"];
const TEXT_BYTES = 1000;

/** What JSON can say about a result: bytes as hex, an error by code and message, objects with behaviour not at all. */
function toJson(value) {
  if (value === undefined || value instanceof EventEmitter) return null;
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.length).toString("hex");
  if (value instanceof Error) return { code: value.code ?? null, message: value.message };
  return Array.isArray(value) ? value.map(toJson) : value;
}

/** Resolves when the stream takes more, or never will. */
function drained(stream) {
  return new Promise((resolve) => {
    const done = () => {
      stream.off("drain", done).off("close", done);
      resolve();
    };
    stream.on("drain", done).on("close", done);
  });
}

/** Counts and hashes bytes, and keeps the first ones as text. */
class Digest {
  #hash = createHash("sha256");
  #text = Buffer.alloc(0);
  bytes = 0;

  add(bytes) {
    this.#hash.update(bytes);
    if (this.bytes < TEXT_BYTES) this.#text = Buffer.concat([this.#text, bytes]).subarray(0, TEXT_BYTES);
    this.bytes += bytes.length;
  }

  toJSON() {
    const text = this.bytes < TEXT_BYTES ? this.#text.toString() : null;
    return { bytes: this.bytes, sha256: this.#hash.copy().digest("hex"), text };
  }
}

/** A socket, stream or watcher with all that has happened to it. */
class Actor {
  #log = new Map();
  #waiting = [];
  received = new Digest();
  chunks = 0;

  constructor(target, events) {
    this.target = target;
    for (const event of events) target.on(event, (...args) => this.note(event, args));
  }

  note(event, args) {
    this.happened(event).push(toJson(args));
    this.settle();
  }

  happened(event) {
    if (!this.#log.has(event)) this.#log.set(event, []);
    return this.#log.get(event);
  }

  settle() {
    const due = this.#waiting.filter(({ isDue }) => isDue());
    this.#waiting = this.#waiting.filter((waiter) => !due.includes(waiter));
    for (const { resolve } of due) resolve();
  }

  until(isDue) {
    if (isDue()) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ isDue, resolve }));
  }
}

export class Driver {
  #udx;
  #poke;
  #actors = new Map();

  /** @param poke writes a field inside a native stream (see udx_ends.cjs) */
  constructor(udx, poke) {
    this.#udx = udx;
    this.#poke = poke;
  }

  /** Carries out one command. @returns its answer, or a promise of it */
  run(command) {
    const actor = this.#actors.get(command.of);
    switch (command.op) {
      case "socket":
        return this.#add(command.name, this.#udx.createSocket(command.options), SOCKET_EVENTS);
      case "stream":
        return this.#createStream(command);
      case "watcher":
        return this.#add(command.name, this.#udx.watchNetworkInterfaces(), ["close"]);
      case "call":
        return this.#call(actor === undefined ? this.#udx : actor.target, command);
      case "static":
        return this.#udx.constructor[command.method](...command.args);
      case "get":
        return toJson((actor === undefined ? this.#udx : actor.target)[command.property]);
      case "wait":
        return this.#wait(actor, command);
      case "happened":
        return actor.happened(command.event);
      case "read":
        return this.#read(actor);
      case "received":
        return actor.until(() => actor.received.bytes >= command.bytes || actor.happened("close").length > 0)
          .then(() => ({ ...actor.received.toJSON(), chunks: actor.chunks }));
      case "pour":
        return this.#pour(actor.target, command);
      case "poke":
        return this.#poke(actor.target, command.field, command.value);
      case "clear":
        return this.#clear();
      default:
        throw new Error(`no such command: ${command.op}`);
    }
  }

  #add(name, target, events) {
    this.#actors.set(name, new Actor(target, events));
    return null;
  }

  /** `firewall`: "accept", "refuse", or `{ socket, remoteId }` to connect to whoever is first to send. */
  #createStream({ name, id, options: { firewall, ...options } }) {
    const decide = (socket, port, host, family) => {
      const local = [...this.#actors].find(([, { target }]) => target === socket)?.[0] ?? null;
      this.#actors.get(name).note("firewall", [local, port, host, family]);
      if (firewall.remoteId !== undefined && !stream.connected) stream.connect(socket, firewall.remoteId, port, host);
      return firewall === "refuse";
    };
    const stream = this.#udx.createStream(id, firewall === undefined ? options : { ...options, firewall: decide });
    return this.#add(name, stream, STREAM_EVENTS);
  }

  async #call(target, { method, args }) {
    return toJson(await target[method](...args.map((arg) => this.#fromJson(arg))));
  }

  #fromJson(arg) {
    if (arg === null || typeof arg !== "object") return arg;
    if (arg.ref !== undefined) return this.#actors.get(arg.ref).target;
    return arg.hex === undefined ? arg : Buffer.from(arg.hex, "hex");
  }

  async #wait(actor, { event, nth }) {
    await actor.until(() => actor.happened(event).length >= nth);
    return actor.happened(event)[nth - 1];
  }

  #read(actor) {
    actor.target.on("data", (data) => {
      actor.received.add(data);
      actor.chunks++;
      actor.settle();
    });
    return null;
  }

  /** Writes pseudo-random bytes as fast as the stream takes them; tells what they were. */
  async #pour(stream, { bytes, chunkBytes }) {
    const digest = new Digest();
    let block = createHash("sha512").update(`${stream.id}`).digest();
    while (digest.bytes < bytes && !stream.destroying) {
      block = createHash("sha512").update(block).digest();
      const chunk = Buffer.alloc(Math.min(bytes - digest.bytes, chunkBytes), block);
      digest.add(chunk);
      if (stream.write(chunk) || stream.destroying) continue;
      await drained(stream);
    }
    return digest.toJSON();
  }

  /** Destroys what is left; resolves when all sockets have closed. */
  async #clear() {
    const targets = [...this.#actors.values()].map(({ target }) => target);
    for (const target of targets.filter((target) => target.destroy !== undefined)) target.destroy();
    await Promise.all(targets.filter((target) => target.close !== undefined).map((target) => target.close()));
    this.#actors.clear();
    return null;
  }
}
