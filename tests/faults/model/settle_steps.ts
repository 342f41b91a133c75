import { assertEquals } from "@std/assert";
import { completeTask, completeTasks, isNotHeld } from "../../../src/store/complete.ts";
import { settleTasks } from "../../../src/store/settle.ts";
import { releaseTasks } from "../../../src/store/dependencies.ts";
import * as dependencies from "./dependencies.ts";
import { type Attempt, LONG, type State } from "./state.ts";
import * as model from "./transitions.ts";
import { type Maker, step } from "./world.ts";

type End = Pick<model.AttemptOutcome, "status" | "counts" | "delay"> & { error: string | null; began: boolean };

const ENDS: [number, End][] = [
  [6, { status: "completed", error: null, delay: null, counts: null, began: true }],
  [2, { status: "failed", error: "Error", delay: null, counts: null, began: true }],
  [2, { status: "created", error: "Error", delay: LONG, counts: "retry", began: true }],
  [2, { status: "created", error: "TimedOut", delay: 0, counts: "retry", began: true }],
  [1, { status: "created", error: "Retry", delay: LONG, counts: "snooze", began: true }],
  [1, { status: "created", error: null, delay: 0, counts: "snooze", began: true }],
  [1, { status: "created", error: null, delay: null, counts: "snooze", began: false }],
  [1, { status: "created", error: null, delay: null, counts: null, began: false }],
];
const WEIGHED_ENDS = ENDS.flatMap(([weight, end]) => Array<End>(weight).fill(end));

/** Ends attempts of one consumer: current ones, and ones that it lost without knowing, or has ended before. */
const settle: Maker = ({ random, sql, state }) => {
  if (state.attempts.length === 0) return;
  const { consumerId } = random.pick(state.attempts);
  const own = state.attempts.filter((attempt) => attempt.consumerId === consumerId);
  const chosen = random.some(own, random.pick([1, 1, 2, 3]));
  const endings = chosen.map(({ id, claimSeq }): model.AttemptOutcome => ({
    id,
    claimSeq,
    ...random.pick(WEIGHED_ENDS),
  }));
  const batches = emptiedBy(state, chosen);
  const outcomes = endings.map(({ began, error, ...ending }) => ({
    ...ending,
    returned: ending.status === "completed" ? "bnVsbA==" : null,
    began: began ? performance.now() : null,
    error: error === null ? null : JSON.stringify({
      name: error,
      message: "As the model wants it",
      ...(ending.delay === null ? {} : { delay: ending.delay }),
    }),
  }));
  return step("settleTasks", endings, () => settleTasks(sql, outcomes, batches), (settled) => {
    const ended = model.settleTasks(state, endings, batches).map((id) => [id, state.tasks.get(id)!.status]);
    assertEquals(Object.fromEntries(settled), Object.fromEntries(ended));
    // Some are settled a second time later on.
    const forgotten = chosen.filter(() => !random.once(10));
    state.attempts = state.attempts.filter((attempt) => !forgotten.includes(attempt)).slice(-40);
  });
};

/** The batches of which no other claim is left. */
export function emptiedBy(state: State, ended: readonly Attempt[]): string[] {
  const isEnded = (id: number, seq: number) => ended.some((one) => one.id === id && one.claimSeq === seq);
  return [...new Set(ended.map(({ batchId }) => batchId))].filter((id) =>
    (state.batches.get(id)?.claims ?? []).every((claim) => !state.holds(claim) || isEnded(claim.id, claim.claimSeq))
  );
}

/** How an attempt ends that returned. */
const COMPLETED: Omit<model.AttemptOutcome, "id" | "claimSeq"> = {
  status: "completed",
  error: null,
  delay: null,
  counts: null,
  began: true,
};

/** Ends attempts that returned, of any consumers, all by one statement. */
const completeAll: Maker = ({ random, sql, state }) => {
  if (state.attempts.length === 0) return;
  const chosen = random.some(state.attempts, random.pick([1, 2, 3]));
  const endings = chosen.map(({ id, claimSeq }): model.AttemptOutcome => ({ id, claimSeq, ...COMPLETED }));
  const batches = emptiedBy(state, chosen);
  const completions = endings.map(({ id, claimSeq }) => ({
    id,
    claimSeq,
    returned: "bnVsbA==",
    began: performance.now(),
  }));
  return step("completeTasks", completions, () => completeTasks(sql, completions, batches), (completed) => {
    const expected = model.settleTasks(state, endings, batches);
    assertEquals(completed, expected.length === endings.length ? undefined : new Set(expected));
  });
};

/** Ends one attempt with what it wrote. */
const complete: Maker = ({ random, sql, state }) => {
  if (state.attempts.length === 0) return;
  const { id, claimSeq, batchId } = random.pick(state.attempts);
  const others = (state.batches.get(batchId)?.claims ?? []).filter((claim) => state.holds(claim) && claim.id !== id);
  const ended = others.length === 0 ? batchId : null;
  const outcome = { id, claimSeq, returned: "bnVsbA==", began: performance.now() };
  const send = () =>
    completeTask(sql, outcome, ended).catch((error) => {
      if (!isNotHeld(error)) throw error;
      return "lost" as const;
    });
  return step("completeTask", { id, claimSeq }, send, (completed) => {
    const ending: model.AttemptOutcome = { id, claimSeq, ...COMPLETED };
    assertEquals(completed !== "lost", state.holds(ending));
    if (completed === "lost") return;
    assertEquals(completed, state.tasks.get(id)!.dependants);
    model.settleTasks(state, [ending], ended === null ? [] : [ended]);
  });
};

/** What a consumer does after such an end, and in each of its rounds. */
const releaseDependants: Maker = ({ sql, state }) => {
  return step("releaseTasks", "", () => releaseTasks(sql, null), (result) => {
    assertEquals(result, dependencies.releaseTasks(state));
  });
};

/** How consumers end attempts, with how often each step is to be chosen. */
export const SETTLE_STEPS: [number, Maker][] = [
  [16, settle],
  [3, complete],
  [3, completeAll],
  [8, releaseDependants],
];
