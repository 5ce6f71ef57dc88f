/** A colour or weight of terminal text; anything else is the terminal's own. */
export type Ink = "red" | "green" | "yellow" | "blue" | "magenta" | "cyan" | "dim" | "bold" | "boldRed" | "boldGreen";

/** Wraps text in the codes of an ink, or leaves it as it is when colours are off. */
export type Paint = (ink: Ink, text: string) => string;

// SGR codes (ECMA-48 §8.3.117): the sixteen basic colours, so that the operator's own palette decides how they look.
const codes: Readonly<Record<Ink, string>> = {
  red: "31",
  green: "32",
  yellow: "33",
  blue: "34",
  magenta: "35",
  cyan: "36",
  dim: "2",
  bold: "1",
  boldRed: "1;31",
  boldGreen: "1;32",
};

const escape = "\u001b";

export function painter(colour: boolean): Paint {
  return colour
    ? (ink, text) => text === "" ? "" : `${escape}[${codes[ink]}m${text}${escape}[0m`
    : (_ink, text) => text;
}

/** Text from elsewhere, made harmless: one line, no control characters, nothing that turns the direction of writing. */
export function printable(text: string): string {
  return text.replace(/\s+/gu, " ").replace(/[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, "");
}
