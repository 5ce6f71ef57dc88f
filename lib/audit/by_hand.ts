/** The reason that stands in the record of a payment whose end the operator wrote. */

const byHand = "by hand: tightrope resolve";
const unasked = "unreachable";

/** @param lndSays a few words, for whoever reads the record later: {@link sayLnd} */
export function reasonByHand(lndSays: string): string {
  return `${byHand}; LND: ${lndSays}`;
}

export function isByHand(reason: string | undefined): boolean {
  return reason?.startsWith(byHand) === true;
}

/** The same for people. */
export function tellLnd(view: { readonly kind: string; readonly why?: string }): string {
  if (view.kind === unasked) return `LND couldn't be asked (${view.why})`;
  return view.kind === "not-found" ? "LND knows no such payment" : `LND says: ${view.kind}`;
}

/** What the paying node said, in the words of the record. */
export function sayLnd(view: { readonly kind: string; readonly why?: string }): string {
  return view.kind === unasked ? `${unasked} (${view.why})` : view.kind;
}

/** Whether a payment was ended by hand while its node couldn't be asked: what that node says one day may be otherwise. */
export function isBlind(reason: string): boolean {
  return reason.startsWith(reasonByHand(unasked));
}
