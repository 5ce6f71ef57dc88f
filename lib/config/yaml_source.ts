import {
  type ErrorCode,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseAllDocuments,
  type Range,
  Scalar,
} from "yaml";
import type { Position, SourceEntry, SourceNode } from "./source_tree.ts";

export interface YamlProblem {
  readonly position: Position;
  readonly message: string;
}

export interface YamlSource {
  /** Undefined when the text holds no readable document. */
  readonly root: SourceNode | undefined;
  readonly problems: readonly YamlProblem[];
}

/** A configuration is small; these bound what a hostile or mistaken file can cost (aliases multiply). */
export const maxConfigLength = 1_000_000;
const maxNodes = 20_000;
const maxDepth = 32;

/** The parser's own messages may quote the text, and with it a secret: ours never do. */
const sentences: Partial<Record<ErrorCode, string>> = {
  BAD_ALIAS: "a value that begins with * refers to an anchor; put it in quotes if it is meant as text",
  BAD_DQ_ESCAPE: 'a backslash sequence that YAML doesn\'t know; use single quotes, or \\\\ inside "…"',
  BAD_INDENT: "the indentation doesn't fit what stands above",
  BAD_SCALAR_START: "a value can't begin with this character; put it in quotes",
  BLOCK_AS_IMPLICIT_KEY: "two keys on one line; put the second on a line of its own, or the value in quotes",
  BLOCK_IN_FLOW: "a block can't stand inside [ ] or { }",
  MISSING_CHAR: "something is missing here: a closing quote or bracket, or the blank after a colon",
  MULTILINE_IMPLICIT_KEY: "a key must stand on one line; is the blank after a colon missing here or on the line above?",
  MULTIPLE_DOCS: "only one document is read; remove the --- line and what follows it",
  TAB_AS_INDENT: "a tab can't indent; use blanks",
  UNEXPECTED_TOKEN: "this isn't expected here; check quotes, colons and the lines above",
};

/** Reads YAML (or JSON) and keeps the place of every node. Never throws on bad text. */
export function readYaml(text: string): YamlSource {
  if (text.length > maxConfigLength) {
    return { root: undefined, problems: [{ position: { line: 1, column: 1 }, message: "the file is too large" }] };
  }
  const lines = new LineCounter();
  // The failsafe schema leaves every scalar as the text it was: uint64 ids keep their digits, `no` stays a word.
  const documents = parseAllDocuments(text, { schema: "failsafe", lineCounter: lines, prettyErrors: false });
  const document = Array.isArray(documents) ? documents[0] : undefined;
  const place = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const problems: YamlProblem[] = [];
  if (document === undefined || document.contents === null) {
    return { root: undefined, problems: [{ position: { line: 1, column: 1 }, message: "the file is empty" }] };
  }
  for (const error of document.errors) {
    // Duplicates are found below, where the key can be named; the rest of the file still makes sense.
    if (error.code === "DUPLICATE_KEY") continue;
    problems.push({ position: place(error.pos[0]), message: sentences[error.code] ?? "this isn't valid YAML" });
  }
  const second = documents[1];
  if (second !== undefined) {
    problems.push({ position: place(second.range?.[0] ?? 0), message: sentences.MULTIPLE_DOCS! });
  }
  if (problems.length > 0) return { root: undefined, problems };

  let nodes = 0;
  const positionOf = (node: { range?: Range | null }) => place(node.range?.[0] ?? 0);

  const convert = (node: Node | null, at: Position, depth: number): SourceNode => {
    if (node === null) return { kind: "empty", position: at };
    const position = positionOf(node);
    if (++nodes > maxNodes || depth > maxDepth) {
      if (nodes !== Infinity) problems.push({ position, message: "too many values, or nested too deeply" });
      nodes = Infinity;
      return { kind: "empty", position };
    }
    if (isAlias(node)) {
      const target = node.resolve(document);
      if (target === undefined) {
        problems.push({ position, message: sentences.BAD_ALIAS! });
        return { kind: "empty", position };
      }
      return { ...convert(target, position, depth + 1), position };
    }
    if (isMap<Node, Node | null>(node)) {
      const entries: SourceEntry[] = [];
      for (const { key, value } of node.items) {
        const keyPosition = key ? positionOf(key) : position;
        if (!isScalar(key)) {
          problems.push({ position: keyPosition, message: "a key must be plain text" });
          continue;
        }
        const name = String(key.value);
        if (entries.some((entry) => entry.key === name)) {
          problems.push({ position: keyPosition, message: `the key ${JSON.stringify(name)} stands here twice` });
          continue;
        }
        entries.push({ key: name, keyPosition, value: convert(value, keyPosition, depth + 1) });
      }
      return { kind: "map", entries, position };
    }
    if (isSeq<Node | null>(node)) {
      return { kind: "list", items: node.items.map((item) => convert(item, position, depth + 1)), position };
    }
    const text = isScalar(node) ? String(node.value) : "";
    const plain = isScalar(node) && (node.type === undefined || node.type === Scalar.PLAIN);
    if (plain && /^(|~|null|Null|NULL)$/.test(text)) return { kind: "empty", position };
    return { kind: "scalar", text, position };
  };

  const root = convert(document.contents, { line: 1, column: 1 }, 0);
  return { root: nodes === Infinity ? undefined : root, problems };
}
