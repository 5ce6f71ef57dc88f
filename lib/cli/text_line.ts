import { type Ink, type Paint, printable } from "./paint.ts";

/** A stretch of text in one ink. Every character is one column wide. */
export interface Segment {
  readonly text: string;
  readonly ink?: Ink;
}

/** One line of the screen. */
export type TextLine = readonly Segment[];

export function segment(text: string, ink?: Ink): Segment {
  return ink === undefined ? { text } : { text, ink };
}

export function lineWidth(line: TextLine): number {
  return line.reduce((sum, part) => sum + [...part.text].length, 0);
}

/** Cuts at the right; what is lost leaves an ellipsis. */
export function cut(line: TextLine, columns: number): TextLine {
  if (lineWidth(line) <= columns) return line;
  const kept: Segment[] = [];
  let room = Math.max(columns - 1, 0);
  for (const part of line) {
    const characters = [...part.text];
    kept.push({ ...part, text: characters.slice(0, room).join("") });
    room -= characters.length;
    if (room <= 0) break;
  }
  return columns <= 0 ? [] : [...kept, segment("…", "dim")];
}

/** Cuts or fills with blanks to exactly this width. */
export function fit(line: TextLine, columns: number): TextLine {
  const short = cut(line, columns);
  return [...short, segment(" ".repeat(Math.max(columns - lineWidth(short), 0)))];
}

/** One text at the left, one at the right edge; the left one gives way. */
export function spread(left: TextLine, right: TextLine, columns: number): TextLine {
  return [...fit(left, columns - lineWidth(right) - 1), segment(" "), ...right];
}

export function paintLine(line: TextLine, paint: Paint): string {
  const text = line.map((part) =>
    part.ink === undefined ? printableAsIs(part.text) : paint(part.ink, printableAsIs(part.text))
  );
  return text.join("").trimEnd();
}

/** `printable` without joining blanks: columns are made of them. */
function printableAsIs(text: string): string {
  return text.split(/( +)/).map((part) => part.startsWith(" ") ? part : printable(part)).join("");
}
