import { damages, UsedData } from "./damaged_logs.ts";

/** `deno task crash:damages`: the real program on every kind of damaged data; arguments are words of their names. */

await using used = await UsedData.create();
const chosen = Object.entries(damages).filter(([name]) => Deno.args.every((word) => name.includes(word)));
let failures = 0;
for (const [name, damage] of chosen) {
  try {
    console.log(`${await used.survives(damage)}: ${name}`);
  } catch (error) {
    failures++;
    console.log(`FAILED: ${name}\n${error instanceof Error ? error.message : error}\n`);
  }
}
console.log(`\n${chosen.length} damages, ${failures} failures`);
if (failures > 0) Deno.exitCode = 1;
