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
  --power N   then, how many times the machine loses power, too: on ext4, as root of a Linux with perl (0)
  --stop S    then, a daemon stands still (SIGSTOP) for S seconds at some moments of a payment; 0: none (0)`;

function parse(args: readonly string[]): { kills: number; seed: number; world: number; power: number; stop: number } {
  const seed = crypto.getRandomValues(new Uint32Array(1))[0]! % 1_000_000;
  const options = { kills: 300, seed, world: 30, power: 0, stop: 0 };
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

const { kills, seed, world, power, stop } = parse(Deno.args);

/** @param what how a process ends */
async function crash(what: string, times: number, options: { readonly power: boolean }): Promise<void> {
  console.log(`seed ${seed}: ${times} ${what}, ${world} in a world`);
  const startedAtMs = performance.now();
  const report = await runCrashes({
    seed,
    kills: times,
    killsPerWorld: world,
    onKill: (number, name) => console.log(`${String(number).padStart(4)} ${name}`),
    ...options,
  });
  const seconds = Math.round((performance.now() - startedAtMs) / 1_000);
  console.log(`\n${report.kills} ${what} in ${seconds} s, and nothing lost or paid twice. By moment (struck, missed):`);
  for (const name of [...new Set([...report.byMoment.keys(), ...report.missed.keys()])].sort()) {
    console.log(`  ${name}: ${report.byMoment.get(name) ?? 0}, ${report.missed.get(name) ?? 0}`);
  }
  console.log(
    `${report.stops} of them after SIGSTOP and SIGCONT; ${report.payments} payments settled, ${report.failedPayments} failed; ` +
      `${report.late} requests reached LND after their sender's death, ${report.unseen} never`,
  );
}

if (kills > 0) await crash("kills", kills, { power: false });
if (power > 0) await crash("power cuts", power, { power: true });

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
