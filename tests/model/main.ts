/**
 * Explores the protocol of two operators: `deno task model --faults 2`. Prints how far it came, or the shortest way to the
 * first broken rule; with `--diagrams` the observed lives of a request for the README.
 */
import { parseArgs } from "node:util";
import { explore } from "./explore.ts";
import { RequestLives } from "./life.ts";

const { values } = parseArgs({ options: { faults: { type: "string", default: "2" }, diagrams: { type: "boolean" } } });
const lives = new RequestLives();
const startedAtMs = performance.now();
const { states, transitions, depth, broken } = explore({
  faults: Number(values.faults),
  ...(values.diagrams ? { observer: lives } : {}),
  onProgress: (states, waiting, depth) => console.error(`depth ${depth}: ${states} states, ${waiting} of them new`),
});
const seconds = ((performance.now() - startedAtMs) / 1000).toFixed(0);
console.log(
  `${states} states, ${transitions} transitions, depth ${depth}, ${seconds} s: ${broken?.message ?? "all rules hold"}`,
);
for (const step of broken?.trace ?? []) console.log(`  ${step}`);
if (values.diagrams) { for (const owner of [0, 1] as const) console.log(`\n${lives.diagram(owner)}`); }
if (broken) Deno.exit(1);
