/** A place in the text, both counted from 1. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/**
 * A document with the place of every node. Scalars are the text as written (unquoted, unescaped), so that no number
 * is rounded on its way; what it means is the schema's business.
 */
export type SourceNode =
  | { readonly kind: "scalar"; readonly text: string; readonly position: Position }
  /** Nothing written, `~` or `null`: as if the key weren't there. */
  | { readonly kind: "empty"; readonly position: Position }
  | { readonly kind: "list"; readonly items: readonly SourceNode[]; readonly position: Position }
  | { readonly kind: "map"; readonly entries: readonly SourceEntry[]; readonly position: Position };

export interface SourceEntry {
  readonly key: string;
  readonly keyPosition: Position;
  readonly value: SourceNode;
}

export type Path = readonly (string | number)[];

/** The tree as strings, arrays and objects without prototype. Empty entries of a map are left out. */
export function toPlain(node: SourceNode): unknown {
  switch (node.kind) {
    case "scalar":
      return node.text;
    case "empty":
      return null;
    case "list":
      return node.items.map(toPlain);
    case "map": {
      const plain: Record<string, unknown> = Object.create(null);
      for (const { key, value } of node.entries) {
        if (value.kind !== "empty") plain[key] = toPlain(value);
      }
      return plain;
    }
  }
}

function entryOf(node: SourceNode | undefined, key: string | number): SourceEntry | undefined {
  return node?.kind === "map" ? node.entries.find((entry) => entry.key === key) : undefined;
}

/** The node at a path, or undefined. */
export function nodeAt(root: SourceNode, path: Path): SourceNode | undefined {
  let node: SourceNode | undefined = root;
  for (const step of path) {
    node = node?.kind === "list" && typeof step === "number" ? node.items[step] : entryOf(node, step)?.value;
  }
  return node;
}

/** The text of the scalar at a path, or undefined. */
export function textAt(root: SourceNode, path: Path): string | undefined {
  const node = nodeAt(root, path);
  return node?.kind === "scalar" ? node.text : undefined;
}

/** Where to point for a path: its value; its key if it has no value; else the nearest thing around it. */
export function positionAt(root: SourceNode, path: Path): Position {
  let node = root;
  let position = root.position;
  for (const step of path) {
    if (node.kind === "list" && typeof step === "number") {
      const item = node.items[step];
      if (item === undefined) return position;
      node = item;
      position = item.position;
      continue;
    }
    const entry = entryOf(node, step);
    if (entry === undefined) return position;
    node = entry.value;
    position = node.kind === "empty" ? entry.keyPosition : node.position;
  }
  return position;
}

/** Where a key stands. */
export function keyPositionAt(root: SourceNode, parent: Path, key: string): Position {
  return entryOf(nodeAt(root, parent), key)?.keyPosition ?? positionAt(root, parent);
}

/** `["lightningNodes", 0, "socket"]` -> `lightningNodes[0].socket` */
export function formatPath(path: Path): string {
  return path.reduce<string>(
    (text, step) => typeof step === "number" ? `${text}[${step}]` : text === "" ? step : `${text}.${step}`,
    "",
  );
}
