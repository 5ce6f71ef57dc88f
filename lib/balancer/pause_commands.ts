import { type Pause, sameScope, scopeName } from "../audit/pause.ts";
import { allListed, hint } from "./nodes.ts";
import { isMatched } from "./pauses.ts";
import { sayAgain } from "./peers.ts";
import { note, type Step, tell } from "./step.ts";

/** What an earlier run left paused. The breaker's reason stays what it was. */
export function startPauses(step: Step, pauses: readonly Pause[]): void {
  const { state } = step;
  state.pauses = pauses;
  state.breaker = breakerReason(pauses);
  if (state.breaker !== undefined) {
    tell(step, {
      kind: "breaker",
      level: "error",
      message:
        `ALL PAYING IS STOPPED since an earlier run: ${state.breaker}. Look at it, then run \`tightrope resume\``,
      reason: state.breaker,
    });
  }
  for (const pause of pauses) if (pause.by !== "breaker") tellPause(step, pause);
}

/** The operator's switches. Resuming everything also ends the breaker and the pause of cloned nodes: the operator has looked. */
export function setPauses(step: Step, pauses: readonly Pause[], resumed: boolean): void {
  const { state } = step;
  const before = state.pauses;
  const had = state.breaker !== undefined || state.nodes.some(({ cloned }) => cloned);
  state.pauses = pauses;
  if (resumed) {
    state.breaker = undefined;
    acknowledge(step);
    for (const node of state.nodes) node.cloned = false;
  }
  // One that trips just as the operator resumes an earlier one still stands in the file.
  state.breaker ??= breakerReason(pauses);
  for (const pause of pauses) if (pause.by !== "breaker" && !isAmong(pause, before)) tellPause(step, pause);
  const ended = before.filter((pause) => pause.by !== "breaker" && !isAmong(pause, pauses));
  if (resumed && (had || ended.length > 0)) {
    tell(step, { kind: "resumed", level: "info", message: "Resumed" });
  } else {
    for (const { scope } of ended) {
      const what = scope.kind === "all" ? "Resumed" : `Resumed ${scopeName(scope)}`;
      tell(step, { kind: "resumed", level: "info", message: what });
    }
  }
  sayPauses(step);
  for (const node of state.nodes) hint(step, node);
}

/** The operator has looked: what LND goes on to say otherwise than the log is no news at the next start. */
function acknowledge(step: Step): void {
  const { contradictions } = step.state;
  for (const paymentHash of contradictions) {
    note(step, { kind: "acknowledged", atWallMs: step.now.wallMs, paymentHash });
  }
  contradictions.clear();
}

/** Tells every session what it doesn't know yet of our pauses. */
export function sayPauses(step: Step): void {
  const { state } = step;
  for (const peer of state.peers.values()) sayAgain(step, peer);
}

function tellPause(step: Step, pause: Pause): void {
  const { scope, by, reason } = pause;
  const everything = scope.kind === "all";
  tell(step, {
    kind: "paused",
    level: by === "operator" ? "info" : "error",
    message: by === "unreadable"
      ? `Paused: ${reason}. Run \`tightrope resume\`, then pause again what should be paused`
      : everything
      ? "Paused: nothing is asked for and nothing is paid"
      : `Paused ${scopeName(scope)}: nothing is asked for and nothing is paid over it`,
    reason: everything ? "paused" : scope.kind === "node" || scope.kind === "alias" ? "node-paused" : "channel-paused",
  });
  if (allListed(step.state)) tellIfUnmatched(step, pause);
  else step.state.unmatchedTold = false;
}

/** A pause with a mistyped name pauses nothing, and its operator believes otherwise. */
export function tellIfUnmatched(step: Step, pause: Pause): void {
  if (isMatched(step.state, pause)) return;
  tell(step, {
    kind: "warning",
    level: "warn",
    message: `The pause of ${scopeName(pause.scope)} is over nothing that is known here: no node of ours has that ` +
      "alias, and no open channel that id or that other node",
  });
}

function breakerReason(pauses: readonly Pause[]): string | undefined {
  return pauses.find(({ by }) => by === "breaker")?.reason;
}

function isAmong(pause: Pause, pauses: readonly Pause[]): boolean {
  return pauses.some(({ scope, by }) => by === pause.by && sameScope(scope, pause.scope));
}
