import { assertEquals } from "@std/assert";
import { TaskExists } from "../../../src/errors.ts";
import { callTasks } from "../../../src/store/calls.ts";
import type { NewTask as NewRow } from "../../../src/store/new_task.ts";
import { sendSignal } from "../../../src/store/signals.ts";
import { isNotHeld } from "../../../src/store/complete.ts";
import { type NewStep, storeStep, storeSteps } from "../../../src/store/steps.ts";
import { suspendTasks } from "../../../src/store/suspend.ts";
import { applyUnique, areNew, refusalOf, wishes } from "./schedule_steps.ts";
import { emptiedBy } from "./settle_steps.ts";
import { type Edge, LONG, type State, Time } from "./state.ts";
import * as model from "./waits.ts";
import type { StepFact } from "./waits.ts";
import { type Maker, NAMES, pickTask, step, type World } from "./world.ts";

/** The names of steps, by what they do. A wait for a signal is called as the signal. */
const STEPS = { step: ["s1", "s2"], sleep: ["z1", "z2"], signal: ["go", "stop"], call: ["c1", "c2", "c3"] };
const SIGNALS = STEPS.signal;

/** The next place in the order of a task's steps. */
function nextSeq({ steps }: State, id: number): number {
  return 1 + Math.max(0, ...steps.filter(({ taskId }) => taskId === id).map(({ seq }) => seq ?? 0));
}

/** Steps that have ended, and waits that have, as a handler has them in its memory: each of another name. */
function pickEnded({ random, state }: World, id: number, limit: number): StepFact[] {
  const waits = state.steps.filter(({ taskId, status }) => taskId === id && status === "waiting");
  const fresh = STEPS.step.map((name) => ({ name, kind: "step" as const }));
  const seq = nextSeq(state, id);
  const chosen = new Map(random.some([...waits, ...fresh], limit).map((step) => [step.name, step]));
  return [...chosen.values()].map(({ name, kind }, place): StepFact => {
    const signal = state.signals.find((sent) => sent.taskId === id && sent.name === name);
    const received = kind === "signal" && signal ? signal.id : null;
    const isFailed = kind === "signal" ? received === null : random.once(4);
    const status = isFailed ? "failed" : "completed";
    const returned = isFailed ? null : "bnVsbA==";
    return { name, kind, status, seq: seq + place, failures: random.below(2), due: null, returned, received };
  });
}

/** A time to come, as handlers give it. */
function laterTime({ random, state }: World): Time {
  const time = new Time();
  time.at = state.origin + (200_000 + 10 * LONG + random.below(100_000)) * 1_000_000;
  return time;
}

function pastTime({ random, state }: World): Time {
  const time = new Time();
  time.at = state.origin + random.below(100_000) * 1_000_000;
  return time;
}

/** Waits that begin: each of another name than those of `taken`. */
function pickWaits(world: World, taken: ReadonlySet<string>): StepFact[] {
  const { random } = world;
  const kinds = random.some(["sleep", "signal", "step"] as const, 2);
  return kinds.flatMap((kind): StepFact[] => {
    const name = random.pick(STEPS[kind]);
    if (taken.has(name)) return [];
    const due = random.once(6) ? pastTime(world) : laterTime(world);
    const failures = kind === "step" ? 1 : 0;
    const end = kind === "signal" && random.once(2) ? null : due;
    return [{ name, kind, status: "waiting", seq: null, failures, due: end, returned: null, received: null }];
  });
}

function toNewStep({ due, ...fact }: StepFact): NewStep {
  const isOver = fact.status !== "waiting";
  const at = due === null ? null : due.at === undefined ? due.offset : new Date(due.at / 1000);
  return {
    ...fact,
    key: "",
    version: 1,
    attempt: 1,
    began: performance.now(),
    ended: isOver ? performance.now() : null,
    due: at,
    error: fact.status === "failed" || fact.failures > 0 && !isOver ? JSON.stringify({ name: "Error" }) : null,
  };
}

/** Stores steps that have ended: each alone, with the effects of a transaction, or several together. */
const store: Maker = (world) => {
  const { random, sql, state } = world;
  if (state.attempts.length === 0) return;
  const isAlone = random.once(3);
  const claims = isAlone ? [random.pick(state.attempts)] : random.some(state.attempts, 3);
  // Two attempts of one task do not store by the same statement: they are of different consumers.
  const chosen = [...new Map(claims.map((claim) => [claim.id, claim])).values()];
  const ended = chosen.map(({ id, claimSeq }) => {
    const facts = pickEnded(world, id, 2);
    return { id, claimSeq, facts };
  }).filter(({ facts }) => facts.length > 0);
  if (ended.length === 0) return;
  const rows = ended.map(({ id, claimSeq, facts }) => {
    const [step, ...failures] = facts.map(toNewStep).toReversed();
    return { id, claimSeq, step: step!, failures };
  });
  const send = () =>
    isAlone
      ? storeStep(sql, rows[0]!).then(() => [true], (error) => {
        if (!isNotHeld(error)) throw error;
        return [false];
      })
      : storeSteps(sql, rows);
  return step(isAlone ? "storeStep" : "storeSteps", rows, send, (stored) => {
    const expected = ended.map(({ id, claimSeq, facts }) => {
      const last = state.steps.find(({ taskId, name }) => taskId === id && name === facts.at(-1)!.name);
      const isTaken = last !== undefined && last.status !== "waiting";
      // Alone, it is stored with all of its facts or not at all.
      if (!state.holds({ id, claimSeq }) || isAlone && isTaken) return false;
      return model.storeSteps(state, id, facts).at(-1)!;
    });
    assertEquals(stored, expected);
  });
};

/** Suspends attempts that wait for anything. */
const suspend: Maker = (world) => {
  const { random, sql, state } = world;
  if (state.attempts.length === 0) return;
  const hasCalled = (id: number) =>
    state.steps.some(({ taskId, kind, status }) => taskId === id && kind === "call" && status === "waiting");
  const callers = state.attempts.filter((attempt) => state.holds(attempt) && hasCalled(attempt.id));
  // Often a caller that waits for its callees alone, which comes too seldom by chance.
  const isCaller = callers.length > 0 && random.once(2);
  const { consumerId } = random.pick(state.attempts);
  const own = state.attempts.filter((attempt) => attempt.consumerId === consumerId);
  const claims = isCaller ? [random.pick(callers)] : random.some(own, random.pick([1, 1, 2]));
  const chosen = [...new Map(claims.map((claim) => [claim.id, claim])).values()];
  const list = chosen.map(({ id, claimSeq }): model.Suspended => {
    const old = state.steps.filter(({ taskId }) => taskId === id);
    if (isCaller) {
      const calls = old.filter(({ kind, status }) => kind === "call" && status === "waiting");
      return { id, claimSeq, facts: [], awaits: calls.map(({ name }) => name) };
    }
    const ended = pickEnded(world, id, 1);
    const facts = [...ended, ...pickWaits(world, new Set([...ended, ...old].map(({ name }) => name)))];
    const over = new Set(ended.map(({ name }) => name));
    const waits = [...old, ...facts].filter(({ name, status }) => status === "waiting" && !over.has(name));
    // Most handlers await all that they have begun.
    const awaited = random.once(4) ? random.some(waits, 2) : waits;
    const names = awaited.map(({ name }) => name);
    // A handler gives seconds as often as times: then the database tells when it is. Of two, neither is known to be first.
    const timed = awaited.filter(({ due }) => due !== null);
    const only = timed.length === 1 && facts.find((fact) => fact === timed[0]);
    if (only && !only.due!.hasCome(state.clock) && random.once(2)) only.due = new Time(LONG);
    return { id, claimSeq, facts, awaits: random.once(10) ? [...names, "nothing"] : names };
  });
  const batches = emptiedBy(state, chosen);
  const suspensions = list.map(({ id, claimSeq, facts, awaits }) => ({
    id,
    claimSeq,
    began: performance.now(),
    steps: facts.map(toNewStep),
    awaits: awaits.map((name) => ({ name, key: "" })),
  }));
  return step("suspendTasks", suspensions, () => suspendTasks(sql, suspensions, batches), (suspended) => {
    assertEquals(suspended, model.suspendTasks(state, list, batches));
    const forgotten = chosen.filter(() => !random.once(10));
    state.attempts = state.attempts.filter((attempt) => !forgotten.includes(attempt)).slice(-40);
  });
};

const call: Maker = (world) => {
  const { random, sql, state } = world;
  if (state.attempts.length === 0) return;
  const { id, claimSeq } = random.pick(state.attempts);
  const name = random.pick(STEPS.call);
  const old = state.steps.find((step) => step.taskId === id && step.name === name);
  const wanted = wishes(world, { unique: !random.once(3) });
  const tasks = wanted.map(({ row }) => {
    const { unique_key, unique_among, unique_for, on_conflict, ...plain } = row;
    return {
      ...plain,
      ...(unique_key === null ? {} : { unique_key, unique_among, unique_for, on_conflict }),
    } as NewRow;
  });
  const facts = pickEnded(world, id, 1);
  const made: StepFact = {
    name,
    kind: "call",
    status: "waiting",
    seq: null,
    failures: 0,
    due: null,
    returned: null,
    received: null,
  };
  const request = { id, claimSeq, step: toNewStep(made), steps: facts.map(toNewStep), tasks };
  const send = () =>
    callTasks(sql, request).catch((error) => {
      if (!(error instanceof TaskExists)) throw error;
      return "refused" as const;
    });
  return step("callTasks", request, send, (callees) => {
    if (!state.holds({ id, claimSeq })) return assertEquals(callees, null);
    state.tasks.get(id)!.dependants = true;
    const models = wanted.map(({ model }) => model);
    if (refusalOf(world, models)) return assertEquals(callees, "refused");
    if (old) return assertEquals(callees, null);
    if (callees === null || callees === "refused") throw new Error(`It was ${callees ?? "not held"}`);
    const isNew = areNew(world, models);
    applyUnique(
      world,
      models,
      callees.map((id, i) => ({ id, inserted: isNew[i]!, refusedKey: null }) as never),
    );
    for (const callee of callees) if (state.tasks.has(callee)) state.tasks.get(callee)!.dependants = true;
    const first = 1 + Math.max(-1, ...state.edges.filter(({ taskId }) => taskId === id).map(({ ordinal }) => ordinal));
    const own = new Set(callees.filter((_, i) => isNew[i]));
    const others = new Set(callees.filter((id) => !own.has(id)));
    const edges = callees.map((callee, place): Edge => {
      const status = others.has(callee) ? state.tasks.get(callee)?.status ?? "deleted" : "created";
      const told = status === "created" ? null : status;
      return {
        taskId: id,
        ordinal: first + place,
        dependencyId: callee,
        settled: true,
        called: true,
        shared: others.has(callee),
        status: told,
      };
    });
    state.edges.push(...edges);
    model.storeSteps(state, id, facts);
    model.storeSteps(state, id, [made], callees);
  });
};

const signal: Maker = (world) => {
  const { random, sql, state } = world;
  const waiting = state.waiting.filter(({ signals }) => signals !== null).map(({ id }) => id);
  const id = waiting.length > 0 && random.once(2) ? random.pick(waiting) : pickTask(world, () => true);
  if (id === undefined) return;
  const name = random.pick(SIGNALS);
  const payload = random.pick([null, "ImEi"]);
  const funcName = random.pick(NAMES);
  const uniqueKey = random.pick(["k", "l"]);
  const target = random.once(4) ? { funcName, uniqueKey } : id;
  return step("sendSignal", { target, name, payload }, () => sendSignal(sql, target, name, payload), (sent, after) => {
    const holder = state.uniqueKeys.get(`${funcName} ${uniqueKey}`);
    const taskId = typeof target === "number" ? target : holder?.until === null ? holder.taskId : undefined;
    const known = new Set(state.signals.map(({ id }) => id));
    const fresh = after.signal.find(({ id }) => !known.has(id as number));
    const row = { id: (fresh?.id ?? 0) as number, name, payload };
    assertEquals(sent, taskId !== undefined && model.sendSignal(state, taskId, row));
  });
};

/** Time passes: the end of a wait comes that is stored, and of which the place knows nothing yet. */
const end: Maker = (world) => {
  const { random, sql, state } = world;
  const waits = state.steps.filter(({ due, status }) => status === "waiting" && due && !due.hasCome(state.clock));
  if (waits.length === 0) return;
  const wait = random.pick(waits);
  const time = pastTime(world);
  const text = new Date(time.at! / 1000).toISOString();
  const send = () =>
    sql`
      UPDATE ${sql.schema}.step SET due = ${text}::timestamptz WHERE task_id = ${wait.taskId} AND name = ${wait.name}
    `;
  return step("time passes", `due of step ${wait.name} of task ${wait.taskId}`, send, () => wait.due = time);
};

/** The step that schedules callees. */
export { call as CALL };

/** What handlers do that wait, with how often each step is to be chosen. */
export const WAIT_STEPS: [number, Maker][] = [
  [6, store],
  [14, suspend],
  [8, call],
  [6, signal],
  [2, end],
];
