import { runCrashes } from "./run_crashes.ts";

/** `deno task crash`: kills daemons at chosen and random moments; see `--help`. */

const help = `deno task crash [options]

  --kills N   how many times (300)
  --seed S    what is drawn from, instead of a fresh one
  --world N   kills in one world (30)`;

function parse(args: readonly string[]): { kills: number; seed: number; world: number } {
  const options = { kills: 300, seed: crypto.getRandomValues(new Uint32Array(1))[0]! % 1_000_000, world: 30 };
  for (let i = 0; i < args.length; i += 2) {
    const name = args[i]!.replace(/^--/, "");
    const value = Number(args[i + 1]);
    if (!(name in options) || !Number.isSafeInteger(value)) {
      console.error(help);
      Deno.exit(name === "help" ? 0 : 64);
    }
    options[name as keyof typeof options] = value;
  }
  return options;
}

const { kills, seed, world } = parse(Deno.args);
console.log(`seed ${seed}: ${kills} kills, ${world} in a world`);
const startedAtMs = performance.now();
const report = await runCrashes({
  seed,
  kills,
  killsPerWorld: world,
  onKill: (number, name) => console.log(`${String(number).padStart(4)} ${name}`),
});
const seconds = Math.round((performance.now() - startedAtMs) / 1_000);
console.log(`\n${report.kills} kills in ${seconds} s, and nothing lost or paid twice. By moment (struck, missed):`);
for (const name of [...new Set([...report.byMoment.keys(), ...report.missed.keys()])].sort()) {
  console.log(`  ${name}: ${report.byMoment.get(name) ?? 0}, ${report.missed.get(name) ?? 0}`);
}
console.log(
  `${report.stops} of them after SIGSTOP and SIGCONT; ${report.payments} payments settled, ${report.failedPayments} failed; ` +
    `${report.late} requests reached LND after their sender's death, ${report.unseen} never`,
);
