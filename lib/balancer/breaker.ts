import { type Step, tell, tellOfChannel } from "./step.ts";

/**
 * Stops all paying until the operator resumes: something contradicts our own rules, so that nobody knows what the next
 * payment would do. Only our own node can trip it, never what a peer says. What comes to light while it is tripped is told
 * as well, and outlives a resume that was meant for what came before.
 */
export function tripBreaker(step: Step, why: string): void {
  const { state } = step;
  // An earlier run has told that and left the pause: LND still says it.
  if (state.breaker === why) return;
  const isFirst = state.breaker === undefined;
  state.breaker ??= why;
  step.effects.push({ kind: "pause", reason: why });
  const record = {
    kind: "breaker",
    level: "error",
    message: `ALL PAYING IS STOPPED: ${why}. Look at it, then run \`tightrope resume\``,
    reason: why,
  } as const;
  if (isFirst) tell(step, record);
  else tellOfChannel(step, undefined, record);
}
