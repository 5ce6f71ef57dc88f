/** Every RPC that Tightrope calls with a macaroon, as gRPC names it. A macaroon that allows these and nothing else is enough. */
export const neededRpcs = [
  "/lnrpc.Lightning/GetInfo",
  "/lnrpc.Lightning/ListChannels",
  "/lnrpc.Lightning/ListPayments",
  "/lnrpc.Lightning/SubscribeChannelEvents",
  "/lnrpc.Lightning/AddInvoice",
  "/lnrpc.Lightning/LookupInvoice",
  "/lnrpc.Lightning/DecodePayReq",
  "/lnrpc.Lightning/SignMessage",
  "/routerrpc.Router/SendPaymentV2",
  "/routerrpc.Router/TrackPaymentV2",
  "/routerrpc.Router/SubscribeHtlcEvents",
  "/invoicesrpc.Invoices/CancelInvoice",
] as const;

export type NeededRpc = (typeof neededRpcs)[number];

/** The command that bakes the smallest macaroon, under a root key of its own, so that it can be revoked alone. */
export function bakeMacaroonCommand(): string {
  const rights = neededRpcs.map((rpc) => `uri:${rpc}`).join(" ");
  return `lncli bakemacaroon --root_key_id 7 --save_to tightrope.macaroon ${rights}`;
}
