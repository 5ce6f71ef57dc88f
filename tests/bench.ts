/** `deno task bench`: how soon a channel is back in balance, and what that rests on. Ends by itself, in two to three minutes. */
import { benchRebalancing } from "./app/rebalance_bench.ts";
import { benchAudit } from "./audit/audit_bench.ts";
import { renderTable } from "./bench_table.ts";
import { benchUdx } from "./udx/udx_bench.ts";

const rounds = 50;

const rebalancing = await benchRebalancing(rounds);
console.log(`${renderTable(rebalancing.header, rebalancing.rows)}\n`);
const audit = await benchAudit();
console.log(`${renderTable(audit.header, audit.rows)}\n`);
for (const { header, rows } of await benchUdx()) console.log(`${renderTable(header, rows)}\n`);
