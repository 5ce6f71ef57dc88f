import { maxSat, minSat, type Sat, sat } from "../domain/amounts.ts";
import type { ChannelSnapshot } from "../domain/channel.ts";

/** Weights in weight units of an anchor commitment with both outputs, and of one HTLC output on it (BOLT 3). */
const commitmentWeight = 1124n;
const htlcWeight = 172n;

/**
 * The most that the node of this snapshot can send over the channel now (0 when nothing).
 *
 * Above its own reserve. If it opened the channel, also above a buffer for fees: LND 0.17 keeps the fee of one more HTLC,
 * LND 0.18 and later keep the channel usable at twice the fee rate with two more; the larger counts, since the version
 * that asks isn't the only one that checks. If the *other* side opened the channel and can't pay for one more HTLC,
 * nothing above dust passes (LND #7108). In flight: within the other side's limits of amount and number.
 */
export function spendableSat(channel: ChannelSnapshot): Sat {
  const outgoing = channel.pendingHtlcs.filter((htlc) => !htlc.incoming);
  if (outgoing.length >= channel.maxHtlcs) return sat(0);
  const oneHtlcFeeSat = feeSat(htlcWeight, channel.feePerKwSat);
  if (!channel.initiator && channel.remoteSat - channel.remoteReserveSat < oneHtlcFeeSat) return sat(0);
  const buffer = channel.initiator ? maxSat(sat(oneHtlcFeeSat), feeBufferSat(channel)) : sat(0);
  const inFlightSat = outgoing.reduce((sum, htlc) => sum + htlc.amountSat, 0n);
  return maxSat(
    sat(0),
    minSat(
      sat(channel.localSat - channel.localReserveSat - buffer),
      sat(channel.maxInFlightSat - inFlightSat),
    ),
  );
}

/**
 * What the other side can send us, as far as our own commitment shows it: its in-flight limits aren't in our ListChannels.
 */
export function receivableSat(channel: ChannelSnapshot): Sat {
  return spendableSat({
    ...channel,
    initiator: !channel.initiator,
    localSat: channel.remoteSat,
    remoteSat: channel.localSat,
    localReserveSat: channel.remoteReserveSat,
    remoteReserveSat: channel.localReserveSat,
    maxInFlightSat: channel.capacitySat,
    pendingHtlcs: channel.pendingHtlcs.map((htlc) => ({ ...htlc, incoming: !htlc.incoming })),
  });
}

/** LND's fee buffer less what the commitment pays already. Dust in the commitment fee is not the initiator's to spend. */
function feeBufferSat(channel: ChannelSnapshot): Sat {
  const weight = commitmentWeight + htlcWeight * BigInt(channel.pendingHtlcs.length);
  const paidSat = minSat(channel.commitFeeSat, sat(feeSat(weight, channel.feePerKwSat)));
  return sat(2n * feeSat(weight + 2n * htlcWeight, channel.feePerKwSat) - paidSat);
}

/** Rounded up. */
function feeSat(weight: bigint, feePerKwSat: Sat): bigint {
  return (weight * feePerKwSat + 999n) / 1000n;
}
