import assert from "node:assert/strict";
import type { ChannelPoint } from "../../lib/domain/ids.ts";
import { isRefusal } from "../../lib/lightning/sim/model.ts";
import type { PayInvoice, PaymentResult } from "../../lib/protocol/messages.ts";
import { Harness, type InstanceOptions } from "./harness.ts";
import type { Scene as PayerScene } from "./payer_scene.ts";
import { Rogue } from "./rogue.ts";

export interface Scene extends PayerScene {
  requests: () => PayInvoice[];
}

/** Alice holds 10 % of a channel of a million with Mallory and asks for 400,000 sat; what Mallory does is the test's. */
export async function scene(
  onRequest: (rogue: Rogue, request: PayInvoice, harness: Harness) => void,
  options: Partial<InstanceOptions> = {},
): Promise<Scene> {
  const harness = new Harness();
  const [alice, mallory] = [harness.node("alice"), harness.node("mallory")];
  const point = harness.channel(mallory, alice, 1_003_470, 100_000);
  const instance = harness.instance({ nodes: [alice], ...options });
  const rogue = new Rogue(harness, mallory);
  rogue.onMessage = (message) => {
    if (message.type === "payInvoice") onRequest(rogue, message, harness);
  };
  await harness.runUntil(() => rogue.isConnected, 100);
  rogue.hello();
  await harness.run(100);
  const requests = () => rogue.received.filter((message): message is PayInvoice => message.type === "payInvoice");
  return { harness, alice, mallory, point, instance, rogue, requests };
}

export function pay(rogue: Rogue, { invoice }: PayInvoice, over?: ChannelPoint): void {
  const outgoing = over && rogue.harness.network.channel(rogue.node, over)!.chanId;
  const paid = rogue.harness.network.run((network) =>
    network.sendPayment(rogue.node, {
      paymentRequest: invoice,
      timeoutSec: 30,
      ...(outgoing ? { outgoingChanIds: [outgoing] } : {}),
    })
  );
  assert.ok(!isRefusal(paid));
}

export function say(rogue: Rogue, request: PayInvoice, over: Partial<PaymentResult>): void {
  const { requestId, channelPoint, channelId } = request;
  const common = { type: "paymentResult", requestId, channelPoint, channelId, paymentId: "" } as const;
  rogue.send({ ...common, confirmed: false, confirmedAtWallMs: 0, ...over });
}
