import { bytesToHex } from "@noble/hashes/utils.js";
import { unreachable } from "../domain/errors.ts";
import type { ChannelPoint, NodePubkey } from "../domain/ids.ts";
import type { NodeReply } from "../lightning/node.ts";
import {
  type AccountMessage,
  type Hello,
  type Message,
  type PayInvoice,
  type PaymentResult,
  protocolVersion,
} from "../protocol/messages.ts";
import {
  expireSession,
  isOpen,
  openSession,
  receiveFrame,
  type SessionOpening,
  type SessionOutput,
} from "../protocol/session.ts";
import { nodeProofText, recoverNodePubkey, type SessionRole } from "../protocol/signatures.ts";
import type { ConnectionId, TransportEvent } from "../swarm/transport.ts";
import { channelName, cleanAlias, nameBy, nameOf } from "./names.ts";
import { pausesToSay } from "./pauses.ts";
import {
  type CallPurpose,
  type Introduction,
  maxProofs,
  msPerProof,
  nodeByPubkey,
  type NodeState,
  type PeerNode,
  type PeerSession,
  type Side,
} from "./state.ts";
import {
  armReport,
  backOffMs,
  call,
  countUntold,
  send,
  type Step,
  tell,
  tellOfChannel,
  tellOfSession,
} from "./step.ts";

/** One hello per node is looked into per this time; we say ours a little less often, so that none has to wait. */
const helloSpacingMs = 5_000;
const ownHelloSpacingMs = 6_000;
/** After a failed signature; longer each time. */
const proofRetryMs = 10_000;
const longestProofRetryMs = 300_000;
/** Sessions in which nobody speaks for a node at the other end of a channel of ours. */
export const maxIdleSessions = 256;
/** Nodes that one session may introduce. */
const maxNodesPerSession = 256;
/**
 * Messages that a session may send at once, and how many more a second; beside those that its channels with us need. A
 * message costs us a tenth of a millisecond, which is more than it costs its sender, and there may be hundreds of sessions:
 * all that nobody needs take less than a fifth of our time together.
 */
export const maxMessages = 1_000;
export const messagesPerSec = 5;
const messagesPerChannel = 20;
/** A frame counts once more for each so many bytes, and a proof for several: it costs a public key. */
const bytesPerMessage = 2_048;
const messagesPerProof = 8;
/** Different things told of one session's nodes. */
const maxToldPerSession = 64;
/** Clocks that differ by more are worth a word: invoices expire by them. */
const tolerableSkewMs = 60_000;
/** How long nobody may be found before the operator is told. */
const nobodyFoundMs = 60_000;

/** What the sessions hand on. */
export interface PeerHandlers {
  readonly payInvoice: (step: Step, peer: PeerSession, message: PayInvoice) => void;
  readonly paymentResult: (step: Step, peer: PeerSession, message: PaymentResult) => void;
  readonly account: (step: Step, peer: PeerSession, message: AccountMessage) => void;
  readonly sessionEnded: (step: Step, connection: ConnectionId) => void;
  /** Who is in the cluster, or speaks for whom, has changed; for one node alone if it is named. */
  readonly membersChanged: (step: Step, remote?: NodePubkey) => void;
  /** A node's operator has paused or resumed the node or some of its channels. */
  readonly pausesChanged: (step: Step, remote: NodePubkey) => void;
}

export function startPeers(step: Step): void {
  step.state.nobodyFoundAtMs = step.now.atMs + nobodyFoundMs;
}

export function onTransport(step: Step, event: TransportEvent, handlers: PeerHandlers): void {
  switch (event.kind) {
    case "connected":
      return connect(step, event);
    case "frame": {
      const peer = step.state.peers.get(event.connection);
      if (peer === undefined) return;
      if (!isAffordable(step, peer, event.frame.length)) {
        return endSession(step, peer, "it sends more messages than its channels need", handlers);
      }
      return handleOutputs(step, peer, receiveFrame(peer.session, event.frame, step.now.atMs), handlers);
    }
    case "disconnected": {
      const peer = step.state.peers.get(event.connection);
      if (peer) forget(step, peer, event.reason, handlers);
      return;
    }
    case "status":
      return tellOfSession(step, { kind: "transport", level: event.level, message: `Swarm: ${event.message}` });
    default:
      return unreachable(event);
  }
}

function connect(step: Step, event: Extract<TransportEvent, { kind: "connected" }>): void {
  const { authKey, previousAuthKey } = step.state.config;
  const { connection, via, initiator, localKey, remoteKey, handshakeHash } = event;
  const opening: SessionOpening = {
    authKey,
    ...(previousAuthKey ? { previousAuthKey } : {}),
    ...{ initiator, localKey, remoteKey, handshakeHash },
    nonce: step.random.bytes(32),
    atMs: step.now.atMs,
  };
  const { session, frames } = openSession(opening);
  step.state.peers.set(connection, {
    ...{ connection, via, session },
    sessionId: undefined,
    sessionIdBytes: undefined,
    nodes: new Map(),
    helloAtMs: new Map(),
    waitingHellos: new Map(),
    helloDueAtMs: undefined,
    introductions: new Map(),
    requestIds: [],
    refusedAtMs: undefined,
    strangeAskedAtMs: undefined,
    accountsSaid: new Map(),
    toldAtMs: new Map(),
    skewTold: false,
    allowance: { left: maxMessages, atMs: step.now.atMs, channels: 0 },
  });
  for (const frame of frames) step.effects.push({ kind: "send", connection, frame });
}

/** Takes a frame from what its session may send. Our own nodes, and frames before the proof (there are two), are free. */
function isAffordable({ state, now }: Step, peer: PeerSession, bytes: number): boolean {
  if (peer.via === "memory" || peer.sessionId === undefined) return true;
  const { allowance } = peer;
  const cost = 1 + Math.floor(bytes / bytesPerMessage);
  const gained = (now.atMs - allowance.atMs) / 1_000 * (messagesPerSec + allowance.channels);
  allowance.left = Math.min(maxMessages + messagesPerChannel * allowance.channels, allowance.left + gained);
  allowance.atMs = now.atMs;
  if (allowance.left < cost) {
    const channels = channelsWith(state, peer);
    allowance.left += messagesPerChannel * Math.max(0, channels - allowance.channels);
    allowance.channels = Math.max(channels, allowance.channels);
  }
  if (allowance.left < cost) return false;
  allowance.left -= cost;
  return true;
}

/** Channels of ours with nodes that the session has proven. */
function channelsWith({ nodes }: Step["state"], peer: PeerSession): number {
  let count = 0;
  for (const { sides } of nodes) {
    for (const { channel } of sides.values()) if (hasProven(peer, channel.remotePubkey)) count++;
  }
  return count;
}

function handleOutputs(step: Step, peer: PeerSession, outputs: readonly SessionOutput[], handlers: PeerHandlers): void {
  for (const output of outputs) {
    switch (output.kind) {
      case "send":
        step.effects.push({ kind: "send", connection: peer.connection, frame: output.frame });
        break;
      case "authenticated": {
        const mirror = mirrorOf(step.state, peer, output.sessionId);
        if (mirror !== undefined) {
          for (const end of [mirror, peer]) endSession(step, end, "the swarm has connected us to ourselves", handlers);
          tellOfSession(step, {
            kind: "warning",
            level: "error",
            message:
              "The swarm has connected this instance to itself, which it never does by itself: whatever reaches " +
              "the network there may be in somebody else's hands. Stop it, and look for what has changed",
          });
          break;
        }
        authenticated(step, peer, output.sessionId, output.secret);
        limitSessions(step, handlers);
        break;
      }
      case "message":
        noteSkew(step, peer, output.sentAtWallMs);
        receiveMessage(step, peer, output.message, handlers);
        break;
      case "bad-message":
        countIgnored(step);
        if (step.now.atMs - (peer.refusedAtMs ?? -Infinity) >= helloSpacingMs) {
          peer.refusedAtMs = step.now.atMs;
          tellOfSession(step, {
            kind: "request-refused",
            level: "warn",
            message: `A message of ${peerName(peer)} is not understood: ${output.why}`,
          });
        }
        break;
      case "failed":
        // Whoever doesn't know the secret may come often: those are counted, not told one by one.
        if (peer.sessionId === undefined) step.state.ignored.strangers++, armReport(step);
        endSession(step, peer, output.why, handlers);
        break;
      default:
        unreachable(output);
    }
  }
}

/**
 * The other end of a session, if it is ours: both ends know it by the same id. Only who carries the frames can bring that
 * about, and our own proofs would come back as those of a clone.
 */
function mirrorOf({ peers }: Step["state"], peer: PeerSession, sessionId: Uint8Array): PeerSession | undefined {
  const id = bytesToHex(sessionId);
  return peer.via === "memory" ? undefined : [...peers.values()].find((other) => other.sessionId === id);
}

function authenticated(step: Step, peer: PeerSession, sessionId: Uint8Array, secret: "current" | "previous"): void {
  peer.sessionIdBytes = sessionId;
  peer.sessionId = bytesToHex(sessionId);
  step.effects.push({ kind: "authenticated", connection: peer.connection });
  if (peer.via === "swarm") {
    step.state.nobodyFoundAtMs = undefined;
    const old = secret === "previous" ? ", by the previous secret" : "";
    tellOfSession(step, {
      kind: "peer-authenticated",
      level: "info",
      message: `Connected to ${peerName(peer)}, which knows the cluster's secret${old}`,
    });
  }
  for (const node of step.state.nodes) introduce(step, peer, node);
}

/** Whoever knows the secret may open as many sessions as it likes; beyond a number the oldest that nobody needs ends. */
function limitSessions(step: Step, handlers: PeerHandlers): void {
  const { peers } = step.state;
  if (peers.size <= maxIdleSessions) return;
  const sessions = [...peers.values()].filter(({ via, sessionId }) => via === "swarm" && sessionId !== undefined);
  const needed = neededSessions(step.state, sessions);
  const idle = sessions.filter((peer) => !needed.has(peer));
  const [oldest] = idle;
  if (oldest === undefined || idle.length <= maxIdleSessions) return;
  endSession(step, oldest, "too many sessions are open, and nothing goes through it", handlers);
}

/** Those in which the nodes at the other ends of our channels speak: of several for one node the newest. */
function neededSessions({ nodes }: Step["state"], sessions: readonly PeerSession[]): ReadonlySet<PeerSession> {
  const remotes = new Set(nodes.flatMap(({ sides }) => [...sides.values()].map(({ channel }) => channel.remotePubkey)));
  const needed = new Set<PeerSession>();
  for (const peer of sessions.toReversed()) {
    for (const { pubkey, proven } of peer.nodes.values()) if (proven && remotes.delete(pubkey)) needed.add(peer);
  }
  return needed;
}

function receiveMessage(
  step: Step,
  peer: PeerSession,
  message: Message,
  handlers: PeerHandlers,
): void {
  switch (message.type) {
    case "hello":
      return receiveHello(step, peer, message, handlers);
    case "bye": {
      peer.waitingHellos.delete(message.publicKey);
      const name = nameOf(step.state, message.publicKey);
      if (peer.nodes.delete(message.publicKey)) {
        tellOfNode(step, peer, {
          kind: "node-left",
          level: "info",
          message: `${name} was withdrawn by its instance`,
          peer: message.publicKey,
        });
        handlers.membersChanged(step, message.publicKey);
      }
      return;
    }
    case "payInvoice":
      return handlers.payInvoice(step, peer, message);
    case "paymentResult":
      return handlers.paymentResult(step, peer, message);
    case "account":
      return handlers.account(step, peer, message);
    default:
      return unreachable(message);
  }
}

function receiveHello(step: Step, peer: PeerSession, hello: Hello, handlers: PeerHandlers): void {
  const { state, now } = step;
  const { publicKey } = hello;
  const tooMany = !peer.helloAtMs.has(publicKey) && peer.helloAtMs.size >= maxNodesPerSession;
  if (tooMany) return countIgnored(step);
  // By the same sum as its timer: a difference is rounded otherwise, and the timer would be due for ever.
  const turn = turnAtMs(peer, publicKey);
  if (now.atMs < turn) {
    // The first may have been late. The newest says how things are, and nobody says it again: it waits for its turn.
    if (peer.waitingHellos.has(publicKey)) countIgnored(step);
    peer.waitingHellos.set(publicKey, { ...hello, ...keepOurs(state, hello) });
    peer.helloDueAtMs = Math.min(peer.helloDueAtMs ?? Infinity, turn);
    return;
  }
  peer.helloAtMs.set(publicKey, now.atMs);
  const alias = cleanAlias(hello.alias);
  const shown = nameBy(alias, publicKey);
  const refuse = (why: string) => {
    tellOfNode(step, peer, {
      kind: "warning",
      level: "warn",
      message: `${shown} is not taken into the cluster: ${why}`,
      peer: publicKey,
    });
    if (peer.nodes.delete(publicKey)) handlers.membersChanged(step, publicKey);
  };
  if (hello.version !== protocolVersion) {
    return refuse(`its instance speaks another version of the protocol than ${protocolVersion}`);
  }
  const networks = state.nodes.flatMap((node) => node.info ? [node.info.network as string] : []);
  if (networks.length > 0 && !networks.includes(hello.network)) {
    return refuse(`it is on another network (ours: ${networks[0]})`);
  }
  peer.allowance.left -= messagesPerProof;
  const theirRole: SessionRole = peer.session.initiator ? "responder" : "initiator";
  const proven = recoverNodePubkey(nodeProofText(publicKey, peer.sessionId ?? "", theirRole), hello.proof) ===
    publicKey;
  if (!proven && state.config.requireNodeProof) {
    return refuse("its proof is not the node's signature for that session");
  }
  if (peer.via === "swarm") {
    tellOfNode(step, peer, {
      kind: "message-received",
      level: "debug",
      message: `${peerName(peer)} says hello for ${shown}`,
      peer: publicKey,
      details: { message: "hello" },
    });
  }
  const known = peer.nodes.get(publicKey);
  peer.nodes.set(publicKey, {
    ...{ pubkey: publicKey, alias, proven },
    network: hello.network,
    paused: hello.paused === true,
    pausedChannels: keepOurs(state, hello).pausedChannels ?? [],
    logHead: { length: hello.logHead.length, treeHash: hello.logHead.treeHash },
  });
  const own = nodeByPubkey(state, publicKey);
  if (own && peer.via === "swarm" && proven) pauseClone(step, own);
  if (known === undefined && peer.via === "swarm" && !own) {
    tellOfNode(step, peer, {
      kind: "node-joined",
      level: "info",
      message: proven ? `${shown} is in the cluster` : `${shown} says it is in the cluster, without proof`,
      peer: publicKey,
    });
  }
  handlers.membersChanged(step, publicKey);
  if (!own) notePauses(step, peer, known, peer.nodes.get(publicKey)!, handlers);
  // Now it is known with whom the session shares channels: those of them that we have paused can be named.
  if (known === undefined) sayAgain(step, peer);
}

/** Those of the channels that we share with the node: whatever else it names isn't kept. */
function keepOurs({ nodes }: Step["state"], { publicKey, pausedChannels }: Hello): Pick<Hello, "pausedChannels"> {
  if (pausedChannels === undefined) return {};
  const isOurs = (point: ChannelPoint) =>
    nodes.some(({ sides }) => sides.get(point)?.channel.remotePubkey === publicKey);
  return { pausedChannels: [...new Set(pausedChannels)].filter(isOurs) };
}

/** Tells what the other side's operator has paused or resumed of the channels that we share with its node. */
function notePauses(
  step: Step,
  peer: PeerSession,
  before: PeerNode | undefined,
  after: PeerNode,
  handlers: PeerHandlers,
): void {
  const { pubkey } = after;
  const name = nameOf(step.state, pubkey);
  let changed = false;
  if ((before?.paused ?? false) !== after.paused) {
    changed = true;
    tellPeerPause(
      step,
      peer,
      pubkey,
      after.paused,
      after.paused ? `${name} is paused on its side, until its operator resumes` : `${name} goes on`,
    );
  }
  const sides = step.state.nodes.flatMap((node) => [...node.sides.values()])
    .filter(({ channel }) => channel.remotePubkey === pubkey);
  for (const side of sides) {
    const { channelPoint } = side.channel;
    const paused = after.pausedChannels.includes(channelPoint);
    if ((before?.pausedChannels.includes(channelPoint) ?? false) === paused) continue;
    changed = true;
    const what = `${name} has ${paused ? "paused" : "resumed"} channel ${channelName(side.channel)}`;
    tellPeerPause(step, peer, pubkey, paused, what, side);
  }
  if (changed) handlers.pausesChanged(step, pubkey);
}

function tellPeerPause(
  step: Step,
  peer: PeerSession,
  pubkey: NodePubkey,
  paused: boolean,
  message: string,
  side?: Side,
): void {
  if (peer.via !== "swarm") return;
  const record = {
    kind: paused ? "peer-paused" : "peer-resumed",
    level: "info",
    message,
    peer: pubkey,
    ...(paused ? { reason: "peer-paused" } : {}),
  } as const;
  if (side === undefined) return tellOfSession(step, record);
  const { channelPoint, shortChannelId: channelId } = side.channel;
  if (!tellOfChannel(step, side, { ...record, channelPoint, channelId })) countUntold(step);
}

/** Tells of a peer's node, not oftener than once a minute each, and of a bounded number: keys are cheap to make. */
function tellOfNode(step: Step, peer: PeerSession, record: Parameters<typeof tell>[1] & { peer: NodePubkey }): void {
  const key = `${record.kind} ${record.peer}`;
  const lastMs = peer.toldAtMs.get(key);
  if (lastMs === undefined ? peer.toldAtMs.size >= maxToldPerSession : step.now.atMs - lastMs < 60_000) {
    // A hello that says something new was looked into like any other: it just isn't told again.
    if (record.kind !== "message-received") countUntold(step);
    return;
  }
  peer.toldAtMs.set(key, step.now.atMs);
  tellOfSession(step, record);
}

/** A second daemon, a clone or a restored backup: two writers could spend the same limits twice. */
function pauseClone(step: Step, node: NodeState): void {
  if (node.cloned || node.info === undefined) return;
  node.cloned = true;
  tell(step, {
    kind: "paused",
    level: "error",
    message: `Another instance has proven that it speaks for our own node ${nameOf(step.state, node.info.pubkey)}: ` +
      "this node neither asks nor pays any more. Stop the other instance (a second daemon, a clone, a restored backup), then run `tightrope resume`",
    node: node.info.pubkey,
  });
}

/** A node of ours that comes up may be one that another instance has proven before. */
export function checkClones(step: Step, node: NodeState): void {
  if (node.info === undefined) return;
  for (const peer of step.state.peers.values()) {
    if (peer.via === "swarm" && peer.nodes.get(node.info.pubkey)?.proven) pauseClone(step, node);
  }
}

/** Says hello for a node of ours, with the node's own signature for that session. */
export function introduce(step: Step, peer: PeerSession, node: NodeState): void {
  if (!isOpen(peer.session) || peer.sessionId === undefined || !node.up || !node.info || step.state.draining) return;
  const { pubkey } = node.info;
  let introduction = peer.introductions.get(node.ref);
  if (introduction?.pubkey !== pubkey) {
    withdraw(step, peer, introduction);
    introduction = {
      pubkey,
      proof: undefined,
      signing: false,
      failures: 0,
      saidAlias: undefined,
      saidPauses: "",
      saidAtMs: -Infinity,
      retryAtMs: undefined,
    };
    peer.introductions.set(node.ref, introduction);
  }
  if (introduction.signing) return;
  if (introduction.proof === undefined) {
    const waitMs = waitForProofMs(step, node);
    if (waitMs > 0) {
      introduction.retryAtMs = step.now.atMs + waitMs;
      return;
    }
    introduction.signing = true;
    introduction.retryAtMs = undefined;
    const role: SessionRole = peer.session.initiator ? "initiator" : "responder";
    const text = nodeProofText(pubkey, peer.sessionId, role);
    const purpose = { kind: "proof", node: node.ref, connection: peer.connection, pubkey } as const;
    return call(step, node.ref, { method: "signMessage", args: [text] }, purpose);
  }
  sayHello(step, peer, node);
}

/** How long to wait until the node may sign another proof; 0: it may now, and that is counted. */
function waitForProofMs({ now }: Step, { proofs }: NodeState): number {
  proofs.left = Math.min(maxProofs, proofs.left + (now.atMs - proofs.atMs) / msPerProof);
  proofs.atMs = now.atMs;
  if (proofs.left < 1) return Math.max(1, (1 - proofs.left) * msPerProof);
  proofs.left--;
  return 0;
}

/** Says hello again for each node of which there is something new to say. */
export function sayAgain(step: Step, peer: PeerSession): void {
  for (const node of step.state.nodes) if (node.up) sayHello(step, peer, node);
}

/**
 * Says a node's pauses once more in a session that asks for what is paused: of a channel that its own node hadn't listed yet
 * it didn't take them.
 */
export function repeatPauses(step: Step, connection: ConnectionId, node: NodeState): void {
  const peer = step.state.peers.get(connection);
  const introduction = peer?.introductions.get(node.ref);
  if (peer === undefined || introduction === undefined) return;
  introduction.saidPauses = "";
  sayHello(step, peer, node);
}

function sayHello(step: Step, peer: PeerSession, node: NodeState): void {
  const introduction = peer.introductions.get(node.ref);
  if (introduction?.proof === undefined || node.info?.pubkey !== introduction.pubkey || step.state.draining) return;
  const pauses = pausesToSay(step.state, peer, node);
  const saidPauses = JSON.stringify(pauses);
  if (introduction.saidAlias === node.info.alias && introduction.saidPauses === saidPauses) {
    introduction.retryAtMs = undefined;
    return;
  }
  const waitMs = introduction.saidAtMs + ownHelloSpacingMs - step.now.atMs;
  if (waitMs > 0) {
    introduction.retryAtMs = step.now.atMs + waitMs;
    return;
  }
  introduction.retryAtMs = undefined;
  introduction.saidAtMs = step.now.atMs;
  introduction.saidAlias = node.info.alias;
  introduction.saidPauses = saidPauses;
  send(step, peer, {
    type: "hello",
    publicKey: introduction.pubkey,
    alias: node.info.alias,
    network: node.info.network,
    proof: introduction.proof,
    version: protocolVersion,
    logHead: { ...step.state.logHead },
    ...pauses,
  });
  if (peer.via === "swarm") {
    tellOfSession(step, {
      kind: "message-sent",
      level: "debug",
      message: `Said hello for ${nameOf(step.state, introduction.pubkey)} to ${peerName(peer)}`,
      node: introduction.pubkey,
      details: { message: "hello" },
    });
  }
}

export function onProof(
  step: Step,
  { connection, pubkey }: Extract<CallPurpose, { kind: "proof" }>,
  node: NodeState,
  reply: NodeReply,
): void {
  const peer = step.state.peers.get(connection);
  const introduction = peer?.introductions.get(node.ref);
  // Another node may answer behind the same socket by now, and signs for itself.
  if (!peer || introduction?.pubkey !== pubkey) return;
  introduction.signing = false;
  if (reply.ok && reply.method === "signMessage") {
    introduction.proof = reply.value;
    introduction.failures = 0;
    sayHello(step, peer, node);
  } else if (!reply.ok) {
    introduction.failures++;
    introduction.retryAtMs = step.now.atMs +
      backOffMs(step, introduction.failures, proofRetryMs, longestProofRetryMs);
    // That it is down was told.
    if (introduction.failures > 1 || !node.up) return;
    tellOfSession(step, {
      kind: "warning",
      level: "warn",
      message: `${nameOf(step.state, introduction.pubkey)} did not sign its proof: ${reply.message}. ${reply.remedy}`,
      node: introduction.pubkey,
    });
  }
}

/** Withdraws our nodes everywhere, so that nobody asks us any more. */
export function sayBye(step: Step): void {
  for (const peer of step.state.peers.values()) {
    if (peer.via !== "swarm") continue;
    for (const introduction of peer.introductions.values()) withdraw(step, peer, introduction);
  }
}

function withdraw(step: Step, peer: PeerSession, introduction: Introduction | undefined): void {
  if (introduction?.saidAlias !== undefined) send(step, peer, { type: "bye", publicKey: introduction.pubkey });
}

function endSession(step: Step, peer: PeerSession, reason: string, handlers: PeerHandlers): void {
  step.effects.push({ kind: "disconnect", connection: peer.connection });
  forget(step, peer, reason, handlers);
}

function forget(step: Step, peer: PeerSession, reason: string, handlers: PeerHandlers): void {
  if (!step.state.peers.delete(peer.connection)) return;
  if (peer.sessionId === undefined) return;
  handlers.sessionEnded(step, peer.connection);
  if (peer.via === "swarm") {
    tellOfSession(step, {
      kind: "peer-disconnected",
      level: "info",
      message: `Disconnected from ${peerName(peer)}: ${reason}`,
    });
  }
  if (peer.nodes.size > 0) handlers.membersChanged(step);
}

function noteSkew(step: Step, peer: PeerSession, sentAtWallMs: number | undefined): void {
  if (sentAtWallMs === undefined || peer.skewTold) return;
  const skewMs = sentAtWallMs - step.now.wallMs;
  if (Math.abs(skewMs) <= tolerableSkewMs) return;
  peer.skewTold = true;
  const seconds = Math.round(Math.abs(skewMs) / 1000);
  tellOfSession(step, {
    kind: "warning",
    level: "warn",
    message: `The clock of ${peerName(peer)} is ${seconds} s ${
      skewMs > 0 ? "ahead of" : "behind"
    } ours; invoices expire by these clocks: set both by NTP`,
  });
}

export function countIgnored(step: Step): void {
  step.state.ignored.requests++;
  armReport(step);
}

/** Whatever is due by now. */
export function peerTimers(step: Step, handlers: PeerHandlers): void {
  const { state, now } = step;
  for (const peer of [...state.peers.values()]) {
    handleOutputs(step, peer, expireSession(peer.session, now.atMs), handlers);
    for (const [ref, introduction] of peer.introductions) {
      if (introduction.retryAtMs === undefined || now.atMs < introduction.retryAtMs) continue;
      introduction.retryAtMs = undefined;
      introduce(step, peer, state.nodes[ref]!);
    }
    if (peer.helloDueAtMs !== undefined && now.atMs >= peer.helloDueAtMs) takeWaitingHellos(step, peer, handlers);
  }
  if (state.nobodyFoundAtMs !== undefined && now.atMs >= state.nobodyFoundAtMs) {
    state.nobodyFoundAtMs = undefined;
    tell(step, {
      kind: "warning",
      level: "warn",
      message: "No peer found after 60 s: if other instances run, their secret or their DHT may differ " +
        "(compare `secret` and `swarm.bootstrap`), or a firewall drops UDP. Nodes of this instance are balanced all the same",
    });
  }
  const { ignored } = state;
  if (ignored.reportAtMs !== undefined && now.atMs >= ignored.reportAtMs) {
    tell(step, {
      kind: "requests-ignored",
      level: "warn",
      message: `Messages too fast or too broken to look into in the last minute: ${ignored.requests}` +
        (ignored.strangers === 0 ? "" : `; connections that didn't know the secret: ${ignored.strangers}`) +
        (ignored.forgeries === 0
          ? ""
          : `; statements of account not signed by their node, or dated more than a day off: ${ignored.forgeries}`) +
        (ignored.untold === 0 ? "" : `; comings, goings and refusals too many to tell: ${ignored.untold}`),
      details: {
        requests: ignored.requests,
        strangers: ignored.strangers,
        forgeries: ignored.forgeries,
        untold: ignored.untold,
      },
    });
    Object.assign(ignored, { requests: 0, strangers: 0, forgeries: 0, untold: 0, reportAtMs: undefined });
  }
}

export function* peerDeadlines(state: Step["state"]): Generator<number | undefined> {
  for (const peer of state.peers.values()) {
    yield peer.session.deadlineAtMs;
    for (const introduction of peer.introductions.values()) yield introduction.retryAtMs;
    if (isOpen(peer.session)) yield peer.helloDueAtMs;
  }
  yield state.nobodyFoundAtMs;
  yield state.ignored.reportAtMs;
}

function takeWaitingHellos(step: Step, peer: PeerSession, handlers: PeerHandlers): void {
  peer.helloDueAtMs = undefined;
  for (const [publicKey, hello] of [...peer.waitingHellos]) {
    if (!isOpen(peer.session)) return;
    const turn = turnAtMs(peer, publicKey);
    if (step.now.atMs < turn) {
      peer.helloDueAtMs = Math.min(peer.helloDueAtMs ?? Infinity, turn);
      continue;
    }
    peer.waitingHellos.delete(publicKey);
    receiveHello(step, peer, hello, handlers);
  }
}

/** When the next hello for a node is looked into. */
function turnAtMs({ helloAtMs }: PeerSession, publicKey: NodePubkey): number {
  return (helloAtMs.get(publicKey) ?? -Infinity) + helloSpacingMs;
}

/** A peer by the first digits of its key on the DHT. */
export function peerName(peer: PeerSession): string {
  return peer.via === "memory" ? "this instance" : `instance ${peer.session.remoteKey.slice(0, 8)}…`;
}

/** Whether the session has proven that it speaks for the node. */
export function hasProven(peer: PeerSession, pubkey: NodePubkey): boolean {
  return isOpen(peer.session) && peer.nodes.get(pubkey)?.proven === true;
}

/** Whether the session has been told that we speak for the node. */
export function isIntroduced(peer: PeerSession, pubkey: NodePubkey): boolean {
  for (const introduction of peer.introductions.values()) {
    if (introduction.pubkey === pubkey && introduction.saidAlias !== undefined) return true;
  }
  return false;
}
