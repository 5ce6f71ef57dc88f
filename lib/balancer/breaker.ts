import { type Step, tell } from "./step.ts";

/**
 * Stops all paying until the operator resumes: something contradicts our own rules, so that nobody knows what the next
 * payment would do. Only our own node can trip it, never what a peer says.
 */
export function tripBreaker(step: Step, why: string): void {
  if (step.state.breaker !== undefined) return;
  step.state.breaker = why;
  step.effects.push({ kind: "pause", reason: why });
  tell(step, {
    kind: "breaker",
    level: "error",
    message: `ALL PAYING IS STOPPED: ${why}. Look at it, then run \`tightrope resume\``,
    reason: why,
  });
}
