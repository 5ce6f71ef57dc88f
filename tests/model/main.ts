/**
 * Explores the protocol of two operators: `deno task model` as the tests do, `--faults 2` with any two faults, or `--faults
 * "lost answer/failed HTLC, crash"` with a first one of these kinds and then a crash. Prints how far it came, or the shortest
 * way to the first broken rule. `--diagrams`: the observed lives of a request, for the README; `--prove-merging`: that worlds
 * which are taken for the same go on alike; `--flaw NAME`: with a mistake.
 */
import { parseArgs } from "node:util";
import { type Fault, faults } from "./actions.ts";
import { courses, explore } from "./explore.ts";
import { type Flaw, flaws } from "./flaws.ts";
import { RequestLives } from "./life.ts";

const text = { type: "string" } as const;
const flag = { type: "boolean" } as const;
const { values } = parseArgs({ options: { faults: text, flaw: text, diagrams: flag, "prove-merging": flag } });
const flaw = values.flaw === undefined ? undefined : oneOf(values.flaw, Object.keys(flaws) as Flaw[]);
const lives = new RequestLives();
for (const places of values.faults === undefined ? courses : [placesOf(values.faults)]) {
  const startedAtMs = performance.now();
  const { states, transitions, depth, broken } = explore({
    faults: places,
    ...(flaw ? { flaw } : {}),
    ...(values.diagrams ? { observer: lives } : {}),
    proveMerging: values["prove-merging"] === true,
    onProgress: (states, waiting, depth) => console.error(`depth ${depth}: ${states} states, ${waiting} of them new`),
  });
  const seconds = ((performance.now() - startedAtMs) / 1000).toFixed(0);
  const what = places.map((kinds) => kinds.length === faults.length ? "any fault" : kinds.join(" or ")).join(", then ");
  console.log(
    `${what || "no fault"}: ${states} states, ${transitions} transitions, depth ${depth}, ${seconds} s: ` +
      (broken?.message ?? "all rules hold"),
  );
  for (const step of broken?.trace ?? []) console.log(`  ${step}`);
  if (broken) Deno.exit(1);
}
if (values.diagrams) { for (const role of ["payer", "payee"] as const) console.log(`\n${lives.diagram(role)}`); }

function placesOf(text: string): Fault[][] {
  if (/^\d+$/.test(text)) return Array.from({ length: Number(text) }, () => [...faults]);
  return text.split(",").map((place) => place.split("/").map((kind) => oneOf<Fault>(kind.trim(), faults)));
}

function oneOf<T extends string>(value: string, known: readonly T[]): T {
  const found = known.find((one) => one === value);
  if (found !== undefined) return found;
  console.error(`"${value}" is none of: ${known.join(", ")}`);
  Deno.exit(64);
}
