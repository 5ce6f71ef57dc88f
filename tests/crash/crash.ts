import { SeededRandom } from "../../lib/env/seeded_random.ts";
import { CrashWorld } from "./crash_world.ts";
import { runCrashes } from "./run_crashes.ts";
import { stopDaemon } from "./stop_daemon.ts";
import { atCall, atEvent, atPayment, ofPayee, ofPayer } from "./windows.ts";

/** `deno task crash`: kills daemons at chosen and random moments; see `--help`. */

const help = `deno task crash [options]

  --kills N   how many times (300)
  --seed S    what is drawn from, instead of a fresh one
  --world N   kills in one world (30)
  --stop S    then, a daemon stands still (SIGSTOP) for S seconds at some moments of a payment; 0: none (0)`;

function parse(args: readonly string[]): { kills: number; seed: number; world: number; stop: number } {
  const options = { kills: 300, seed: crypto.getRandomValues(new Uint32Array(1))[0]! % 1_000_000, world: 30, stop: 0 };
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

const { kills, seed, world, stop } = parse(Deno.args);
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

if (stop > 0) {
  const moments = [
    atCall("decodeInvoice", "unanswered", ofPayer),
    atCall("sendPayment", "lost", ofPayer),
    atPayment("an HTLC out", (htlcs) => htlcs > 0, ofPayer),
    atEvent("message-sent", ofPayee),
  ];
  await Promise.all(moments.map(async (moment, index) => {
    await using stopped = await CrashWorld.create(new SeededRandom(seed + index));
    stopped.watchCalls();
    await stopDaemon(stopped, moment, stopped.provocations[2 + index % 2]!, stop * 1_000, 0);
    console.log(`stopped for ${stop} s when it ${moment.name}: nothing lost, nothing paid late`);
  }));
}
