import { secp256k1 } from "@noble/curves/secp256k1.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, concatBytes, hexToBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import { bech32 } from "@scure/base";
import type { Msat } from "../../lib/domain/amounts.ts";
import type { NodePubkey, PaymentHash } from "../../lib/domain/ids.ts";
import { encodeBolt11 } from "../../lib/lightning/bolt11.ts";
import { isRefusal, type SimInvoice } from "../../lib/lightning/sim/model.ts";
import { publicKeys, secretKeyOf } from "./node_keys.ts";
import type { Dice } from "./plan.ts";
import type { World } from "./world.ts";

/** What is strange about an invoice beyond what LND would write by itself. */
export type Twist = "none" | "route-hint" | "amp" | "other-network" | "no-features" | "damaged";

export interface InvoiceWish {
  readonly node: NodePubkey;
  readonly valueMsat: Msat;
  readonly memo: string;
  readonly expirySec: number;
  readonly cltvBlocks: number;
  /** Made by whoever keeps the preimage, so that an HTLC can be held. */
  readonly hold: boolean;
  readonly twist: Twist;
}

export interface MadeInvoice {
  readonly text: string;
  readonly paymentHash: PaymentHash;
  readonly preimage: string;
}

/** An invoice that its node knows, however it is written; undefined where the node itself refuses. */
export function makeInvoice(world: World, dice: Dice, wish: InvoiceWish): MadeInvoice | undefined {
  const preimage = bytesToHex(Uint8Array.from({ length: 32 }, () => dice.below(256)));
  const { node, valueMsat, memo, expirySec } = wish;
  const hash = bytesToHex(sha256(hexToBytes(preimage)));
  const made = world.network.run((network) =>
    network.addInvoice(node, {
      ...{ valueMsat, memo, expirySec, cltvExpiryBlocks: wish.cltvBlocks },
      ...(wish.hold ? { hash } : { preimage }),
    })
  );
  if (isRefusal(made)) return undefined;
  return { text: written(made, wish), paymentHash: made.paymentHash, preimage };
}

function written(invoice: SimInvoice, { node, twist }: InvoiceWish): string {
  const secretKey = hexToBytes(secretKeyOf(publicKeys.indexOf(node)));
  const rewritten = (prefix: "bc" | "bcrt", features: readonly number[]) =>
    encodeBolt11({
      prefix,
      amountMsat: invoice.valueMsat,
      timestampSec: Math.floor(invoice.createdAtWallMs / 1_000),
      paymentHash: invoice.paymentHash,
      description: invoice.memo,
      expirySec: invoice.expirySec,
      minFinalCltvBlocks: invoice.cltvExpiryBlocks,
      paymentSecret: invoice.paymentAddr,
      features,
    }, secretKey);
  switch (twist) {
    case "none":
      return invoice.paymentRequest;
    case "route-hint":
      return withRouteHint(invoice.paymentRequest, secretKey);
    case "amp":
      return rewritten("bcrt", [9, 14, 30]);
    case "other-network":
      return rewritten("bc", [9, 14, 17]);
    case "no-features":
      return rewritten("bcrt", []);
    case "damaged":
      return `${invoice.paymentRequest.slice(0, -1)}q`;
  }
}

const signatureWords = 104;
const hintWords = 82;

/** The same invoice with one more field, signed again. */
function withRouteHint(text: string, secretKey: Uint8Array): string {
  const { prefix, words } = bech32.decode(text as `${string}1${string}`, false);
  const hint = [3, hintWords >> 5, hintWords & 31, ...Array<number>(hintWords).fill(1)];
  const data = [...words.slice(0, -signatureWords), ...hint];
  const signed = concatBytes(utf8ToBytes(prefix), packed(data));
  const signature = secp256k1.sign(sha256(signed), secretKey, { prehash: false, format: "recovered" });
  const ordered = concatBytes(signature.subarray(1), signature.subarray(0, 1));
  return bech32.encode(prefix, [...data, ...bech32.toWords(ordered)], false);
}

/** Words of 5 bits as bytes, filled up with zeros. */
function packed(words: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(Math.ceil((words.length * 5) / 8));
  words.forEach((word, index) => {
    for (let bit = 0; bit < 5; bit++) {
      const at = index * 5 + bit;
      if ((word >> (4 - bit)) & 1) bytes[at >> 3]! |= 0x80 >> (at & 7);
    }
  });
  return bytes;
}
