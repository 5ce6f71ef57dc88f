import type { SeededRandom } from "../../lib/env/seeded_random.ts";
import type { SimNetworkModel } from "../../lib/lightning/sim/model.ts";
import type { CrashWorld, Provocation } from "./crash_world.ts";
import type { Deal, Operator } from "./operator.ts";

/** Where a process is to be struck, drawn from the seed. */
export interface Moment {
  /** Counted by this name. */
  readonly name: string;
  /** While a process that was just struck starts again, or when all is well, and a channel is out of balance. */
  readonly phase: "recovery" | "traffic";
  /** Whose process. */
  readonly victim: (provocation: Provocation, world: CrashWorld) => Operator;
  /** Waits for the moment and strikes; until `signal` aborts. */
  readonly arm: (world: CrashWorld, victim: Operator, strike: () => void, signal: AbortSignal) => void;
}

export const ofPayer = ({ payer }: Provocation, world: CrashWorld) => world.operatorOf(payer);
export const ofPayee = ({ payee }: Provocation, world: CrashWorld) => world.operatorOf(payee);

/** Any moment. */
function afterMs(phase: Moment["phase"], name: string, ms: number, victim: Moment["victim"]): Moment {
  return {
    name,
    phase,
    victim,
    arm: (_world, _victim, strike, signal) => {
      const timer = setTimeout(strike, ms);
      signal.addEventListener("abort", () => clearTimeout(timer));
    },
  };
}

/** As soon as the process says so. */
export function atEvent(kind: string, victim: Moment["victim"], phase: Moment["phase"] = "traffic"): Moment {
  return {
    name: `says ${kind}`,
    phase,
    victim,
    arm: (_world, operator, strike) => {
      const { program } = operator;
      program.event({ kind }, program.events.length).then(strike, () => {});
    },
  };
}

/** When LND gets a call: before it is done (and then it isn't, if it would change anything), or before its answer is read. */
export function atCall(
  method: keyof SimNetworkModel,
  when: "lost" | "unanswered",
  victim: Moment["victim"],
  phase: Moment["phase"] = "traffic",
  skip = 0,
): Moment {
  const changes = method === "sendPayment" || method === "addInvoice" || method === "cancelInvoice";
  return {
    name: `LND gets ${method}${changes ? `, ${when}` : ""}`,
    phase,
    victim,
    arm: (world, operator, strike, signal) => {
      let left = skip;
      world.watchCalls((name, args, act) => {
        const isNode = typeof args[0] === "string" && /^0[23]/.test(args[0]);
        if (signal.aborted || name !== method || (isNode && !operator.has(args[0] as string)) || left-- > 0) {
          return act();
        }
        if (when === "unanswered" || !changes) {
          const result = act();
          strike();
          return result;
        }
        strike();
        return { kind: "refused", reason: "bad-request", code: 2, text: "lost on the way" };
      });
      signal.addEventListener("abort", () => world.watchCalls());
    },
  };
}

/** When a payment has come so far at LND. */
export function atPayment(
  name: string,
  reached: (htlcs: number, status: string) => boolean,
  victim: Moment["victim"],
): Moment {
  return {
    name: `LND has ${name}`,
    phase: "traffic",
    victim,
    arm: (world, _victim, strike, signal) => {
      const stops = world.nodes.map(({ pubkey }) =>
        world.cluster.network.subscribe(pubkey, (event) => {
          if (event.kind !== "payment" || signal.aborted) return;
          if (reached(event.payment.htlcs.length, event.payment.status)) strike();
        })
      );
      signal.addEventListener("abort", () => stops.forEach((stop) => stop()));
    },
  };
}

/** When the process has written to one of its files, so and so often. */
function atWrite(file: string, times: number, victim: Moment["victim"], phase: Moment["phase"] = "traffic"): Moment {
  return {
    name: `writes ${file}`,
    phase,
    victim,
    arm: (_world, operator, strike, signal) => {
      // Before the first start there is none.
      Deno.mkdirSync(operator.dataFolder, { recursive: true, mode: 0o700 });
      const watcher = Deno.watchFs(operator.dataFolder);
      signal.addEventListener("abort", () => watcher.close());
      (async () => {
        let left = times;
        for await (const { kind, paths } of watcher) {
          if (kind === "modify" && paths.some((path) => path.endsWith(file)) && --left <= 0) return strike();
        }
      })();
    },
  };
}

/**
 * The next moment to strike at.
 * @param open what the log of the one that starts has open: only then LND is asked about it
 */
export function drawMoment(
  random: SeededRandom,
  phase: Moment["phase"],
  open: ReadonlySet<Deal["opening"]["kind"]>,
): Moment {
  const victim = random.below(2) === 0 ? ofPayer : ofPayee;
  const moments: readonly (() => Moment)[] = phase === "recovery"
    ? [
      () => afterMs(phase, "starts", random.below(2_500), victim),
      () => atCall("listChannels", "unanswered", victim, phase),
      () => atCall("listPayments", "unanswered", victim, phase, random.below(2)),
      ...(open.has("intent") ? [() => atCall("payment", "unanswered", victim, phase, random.below(2))] : []),
      ...(open.has("invoiced")
        ? [
          () => atCall("invoice", "unanswered", victim, phase),
          () => atCall("cancelInvoice", random.below(2) === 0 ? "lost" : "unanswered", victim, phase),
        ]
        : []),
      () => atWrite("transaction-log.mark", 1 + random.below(2), victim, phase),
      () => atWrite("transaction-log/oplog", 1 + random.below(2), victim, phase),
      () => atEvent("started", victim, phase),
      () => atEvent("node-up", victim, phase),
    ]
    : [
      () => afterMs(phase, "runs", random.below(1_500), victim),
      () => atEvent("decision", ofPayee),
      () => atCall("addInvoice", "lost", ofPayee),
      () => atCall("addInvoice", "unanswered", ofPayee),
      () => atWrite("transaction-log/data", 1, victim),
      () => atWrite("transaction-log/tree", 1, victim),
      () => atWrite("transaction-log/oplog", 1 + random.below(4), victim),
      () => atWrite("transaction-log.mark", 1 + random.below(4), victim),
      () => atEvent("message-sent", ofPayee),
      () => atCall("decodeInvoice", "unanswered", ofPayer),
      () => atCall("decodeInvoice", "unanswered", ofPayee),
      () => atCall("sendPayment", "lost", ofPayer),
      () => atCall("sendPayment", "lost", ofPayer),
      () => atCall("sendPayment", "unanswered", ofPayer),
      () => atEvent("payment-started", ofPayer),
      () => atPayment("a payment without HTLC", (htlcs, status) => htlcs === 0 && status === "IN_FLIGHT", victim),
      () => atPayment("an HTLC out", (htlcs, status) => htlcs > 0 && status === "IN_FLIGHT", victim),
      () => atPayment("a payment settled", (_htlcs, status) => status === "SUCCEEDED", victim),
      () => atCall("invoice", "unanswered", ofPayee),
      () => atEvent("payment-settled", ofPayer),
      () => atEvent("payment-received", ofPayee),
    ];
  return moments[random.below(moments.length)]!();
}
