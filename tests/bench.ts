/** `deno task bench`: how soon a channel is back in balance. Ends by itself. */
import { benchRebalancing } from "./app/rebalance_bench.ts";
import { renderTable } from "./bench_table.ts";

const rounds = 12;

console.log(`From imbalance to settled, ms; refreshRate 10 s; n = ${rounds}`);
console.log(renderTable(
  { name: "", cells: ["p50", "p99", "beyond the payment: p50", "p99", "both sides see it: p50", "p99"] },
  await benchRebalancing(rounds),
));
