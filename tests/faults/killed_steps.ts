import { without } from "../support/without.ts";
import type { Fault, Figures, Scale } from "./fault.ts";
import type { Moment } from "./killed/killer.ts";
import { type Killed, killInLane } from "./killed/lane.ts";
import { EXPECTED } from "./killed/workflow_tasks.ts";
import { NO_MEMO } from "./protections.ts";

interface Size {
  /** How many consumers are killed. */
  readonly kills: number;
  /** How many databases take part. */
  readonly lanes: number;
  /** How many workflows run at a time in each consumer. */
  readonly width: number;
}

/** `KILLS` makes the full form shorter or longer. */
const SIZES: Record<Scale, Size> = {
  full: { kills: Number(Deno.env.get("KILLS") ?? 1_000), lanes: 3, width: 4 },
  short: { kills: 12, lanes: 1, width: 4 },
};
/** A consumer is killed at one of so many statements. */
const NUMBERS = 120;
/** The next number is so far away: every number comes, and those of a short run are spread. */
const STRIDE = 23;

/** Fault 22: a consumer dies between any two statements of workflows. */
export const killedSteps: Fault = {
  number: 22,
  title:
    "kill -9 the consumer before each statement of tasks with ten steps that write, schedule, wait and call, and after each reply",
  async run(figures, scale) {
    const { at, workflows, interrupted, wrong } = await killAll(scale);
    figures.atLeast("consumers killed in the middle of tasks", at.length, SIZES[scale].kills);
    figures.atLeast(
      "different statements at which one was killed",
      new Set(at).size,
      SIZES[scale].kills >= 1_000 ? 100 : 8,
    );
    figures.atLeast("tasks of ten steps", workflows, 1);
    figures.atLeast("times that such a task was interrupted", interrupted, SIZES[scale].kills);
    figures.is("tasks whose effects or steps are lost, doubled or out of order, and rows left over", wrong.length, 0);
  },
  async control(figures: Figures) {
    await using copy = await without(NO_MEMO);
    const { wrong } = await killAll("short", copy.root);
    figures.atLeast("tasks with effects twice, as steps are stored apart from their effects", wrong.length, 1);
  },
};

async function killAll(scale: Scale, root?: string): Promise<Killed> {
  const { kills, lanes, width } = SIZES[scale];
  const first = Math.floor(Math.random() * NUMBERS);
  const moments = Array.from({ length: kills }, (_, i): Moment => ({
    when: i % 2 === 0 ? "before" : "after",
    number: 1 + (first + Math.floor(i / 2) * STRIDE) % NUMBERS,
  }));
  const all = await Promise.all(Array.from({ length: lanes }, (_, lane) =>
    killInLane({
      workflows: EXPECTED,
      // Half of each kind in each lane.
      moments: moments.filter((_, i) => Math.floor(i / 2) % lanes === lane),
      width,
      root,
    })));
  const wrong = all.flatMap(({ wrong }) => wrong);
  if (wrong.length > 0 && root === undefined) console.error(wrong.join("\n"));
  return {
    at: all.flatMap(({ at }) => at),
    workflows: all.reduce((sum, { workflows }) => sum + workflows, 0),
    interrupted: all.reduce((sum, { interrupted }) => sum + interrupted, 0),
    wrong,
  };
}
