import { evenWallMsAtStart } from "../audit/ledger.ts";
import type { BalancerState } from "./state.ts";
import { note, type Step, tell } from "./step.ts";

/** A wall clock that is off by less than this was not set; it is how exactly limits age across a restart. */
const leastJumpMs = 1_000;

/** The wall clock as limits know it, at a moment of the monotonic one. */
export function evenWallMsOf({ clock }: BalancerState, atMs: number): number {
  return clock.evenWallMs + (atMs - clock.atMs);
}

/**
 * Takes up the even wall clock where the log left it. That the wall clock has gone back since is noted, so that what is
 * recorded from now on goes on from there: else the next start would give the present fixed period's allowance again.
 */
export function startClock(step: Step): void {
  const { state, now } = step;
  const evenWallMs = evenWallMsAtStart(state.ledger, now.wallMs);
  const behindMs = Math.round(evenWallMs - (now.wallMs - state.ledger.clockOffsetMs));
  state.clock = { atMs: now.atMs, wallMs: now.wallMs, evenWallMs };
  if (behindMs >= leastJumpMs) noteJump(step, -behindMs);
}

/**
 * Notes that the wall clock was set (or that the machine slept), so that the next start doesn't take that for time that
 * passed. What counts while this process runs goes by the monotonic clock anyway.
 */
export function watchClock(step: Step): void {
  const { state, now } = step;
  const { atMs, wallMs } = state.clock;
  const jumpMs = Math.round(now.wallMs - wallMs - (now.atMs - atMs));
  if (Math.abs(jumpMs) < leastJumpMs) return;
  state.clock = { atMs: now.atMs, wallMs: now.wallMs, evenWallMs: evenWallMsOf(state, now.atMs) };
  noteJump(step, jumpMs);
}

function noteJump(step: Step, jumpMs: number): void {
  note(step, { kind: "clock", atWallMs: step.now.wallMs, jumpMs });
  const seconds = Math.round(Math.abs(jumpMs) / 1_000);
  tell(step, {
    kind: "warning",
    level: "warn",
    message: jumpMs > 0
      ? `The clock was set ${seconds} s forward, or the machine slept: limits don't count that as time that passed`
      : `The clock was set ${seconds} s back: limits go on as if it had not been`,
  });
}
