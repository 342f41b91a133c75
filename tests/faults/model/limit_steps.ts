import { assert, assertEquals } from "@std/assert";
import { registerDefinitions } from "../../../src/store/definitions.ts";
import {
  admitTasks,
  type Admitted,
  deleteEndedSlots,
  requeueForLimits,
  returnIdleSlots,
  startRates,
} from "../../../src/store/limits.ts";
import type { Snapshot } from "./snapshot.ts";
import { byUrgency, LONG, type Place, type Slot, type State, Time } from "./state.ts";
import * as model from "./transitions.ts";
import { type Maker, NAMES, step } from "./world.ts";

/**
 * All tasks have the same limits at a time: of a key that several definitions share, whoever is first in line decides,
 * and a row that an edit has made stale may be first.
 */
const define: Maker = ({ random, sql, state }) => {
  if (state.definitions.size > 0 && !random.once(2)) return;
  // Never without `per`, as a slot of a rate that nobody has defined lasts for a second, in which time would pass.
  const limits = { concurrencyLimit: random.pick([null, 1, 1, 2]), rateLimit: random.pick([1, 2, 4]), ratePer: LONG };
  const rows = NAMES.map((name) => ({
    func_name: name,
    queue: null,
    concurrency_limit: limits.concurrencyLimit,
    rate_limit: limits.rateLimit,
    rate_per: limits.ratePer,
    retain_completed: null,
    retain_failed: null,
  }));
  return step("registerDefinitions", limits, () => registerDefinitions(sql, rows), () => {
    for (const name of NAMES) state.definitions.set(name, limits);
  });
};

/** Keys of lines that are to be looked at, as consumers look at all of them now and then. */
const admit: Maker = ({ random, sql, state }) => {
  if (state.definitions.size === 0) return;
  const lines = state.waiting.filter(({ reason }) => reason === "concurrency" || reason === "rate");
  const keysOf = (keys: (string | null)[]) => random.some([...new Set(keys)].filter((key) => key !== null), 3);
  const keys = {
    concurrencyKeys: keysOf(lines.map(({ concurrencyKey }) => concurrencyKey)),
    rateKeys: keysOf(lines.map(({ rateKey }) => rateKey)),
  };
  if (keys.concurrencyKeys.length + keys.rateKeys.length === 0) return;
  return step(
    "admitTasks",
    keys,
    () => admitTasks(sql, keys),
    (result, after) => applyAdmission(state, keys, result, after),
  );
};

/**
 * Takes over who was let in, and checks that they had a right to it: by rules and not by doing the same again, since of
 * tasks with two keys more than one choice is right.
 */
function applyAdmission(
  state: State,
  keys: { concurrencyKeys: string[]; rateKeys: string[] },
  { admitted, again }: Admitted,
  after: Snapshot,
): void {
  const inReady = new Set(after.ready.map(({ id, claim_seq }) => `${id}/${claim_seq}`));
  const line = state.waiting.filter((row) => isInLine(state, row)).toSorted(byUrgency);
  const passed = line.filter(({ id, claimSeq }) => inReady.has(`${id}/${claimSeq}`));
  assertEquals(admitted, passed.length, `${admitted} were let in, of whom ${passed.length} stood in line`);
  state.slots = state.slots.filter((slot) => !hasEnded(state, slot) || isStored(slot, after));
  const before = state.slots.slice();

  state.waiting = state.waiting.filter((row) => !passed.includes(row));
  for (const row of passed) {
    const { id, concurrencyKey, rateKey } = row;
    state.ready.push({ ...row, reason: null });
    if (concurrencyKey !== null) takeSlot(state, { kind: "concurrency", key: concurrencyKey, taskId: id, per: null });
    if (rateKey !== null) takeSlot(state, { kind: "rate", key: rateKey, taskId: id, per: LONG });
  }
  checkRoom(state, before, line, passed);
  // Else whoever asked looks again.
  if (!again || admitted === 0) checkNobodyIsLeft(state, keys, line, passed);
}

/** Who may be let in: the record wants to run, somebody knows it, and its queue is not paused. */
function isInLine(state: State, row: Place): boolean {
  return (row.reason === "concurrency" || row.reason === "rate") && state.holds(row) && isKnown(state, row) &&
    !state.paused.has(row.queue);
}

function isKnown(state: State, { queue, name }: { queue: string; name: string }): boolean {
  return [...state.consumers.values()].some(({ alive, queues, names }) =>
    alive && queues.includes(queue) && names.includes(name)
  );
}

function takeSlot(state: State, slot: Pick<Slot, "kind" | "key" | "taskId" | "per">): void {
  state.slots.push({ ...slot, until: null, isOld: false });
}

function hasEnded(state: State, { until }: Slot): boolean {
  return until instanceof Time && until.hasCome(state.clock);
}

function isStored(slot: Slot, after: Snapshot): boolean {
  const at = slot.until instanceof Time ? slot.until.at : slot.until;
  return after.slot.some((row) => row.task_id === slot.taskId && row.kind === slot.kind && row.until === at);
}

type Kind = Slot["kind"];
const KINDS: Kind[] = ["concurrency", "rate"];

function keyOf(row: Place, kind: Kind): string | null {
  return kind === "rate" ? row.rateKey : row.concurrencyKey;
}

function taken(state: State, slots: Slot[], kind: Kind, key: string): number {
  return slots.filter((slot) => slot.kind === kind && slot.key === key && !hasEnded(state, slot)).length;
}

function limitOf(state: State, name: string, kind: Kind): number {
  const limits = state.definitions.get(name);
  return (kind === "rate" ? limits?.rateLimit : limits?.concurrencyLimit) ?? Infinity;
}

/** No more slots than the limit, and of each line the most urgent first. */
function checkRoom(state: State, before: Slot[], line: Place[], passed: Place[]): void {
  for (const kind of KINDS) {
    for (
      const [key, rows] of Map.groupBy(line.filter((row) => keyOf(row, kind) !== null), (row) => keyOf(row, kind)!)
    ) {
      const held = taken(state, state.slots, kind, key);
      const limit = limitOf(state, rows[0]!.name, kind);
      if (rows.some((row) => passed.includes(row))) {
        assert(
          held <= limit,
          `${held} slots of ${kind} "${key}" are taken, ${taken(state, before, kind, key)} were: limit ${limit}`,
        );
      }
      const alone = rows.filter((row) => row.concurrencyKey === null || row.rateKey === null);
      const left = alone.find((row) => !passed.includes(row));
      const late = left && alone.find((row) => passed.includes(row) && byUrgency(row, left) > 0);
      assert(!late, `task ${late?.id} was let in before task ${left?.id}, which is more urgent`);
    }
  }
}

/** Whoever is first in a line that was asked for has no room, for one of its keys at least. */
function checkNobodyIsLeft(
  state: State,
  keys: { concurrencyKeys: string[]; rateKeys: string[] },
  line: Place[],
  passed: Place[],
): void {
  const left = line.filter((row) => !passed.includes(row));
  const heads = new Set<Place>();
  for (const key of keys.concurrencyKeys) heads.add(left.find((row) => row.concurrencyKey === key)!);
  for (const key of keys.rateKeys) heads.add(left.find((row) => row.rateKey === key)!);
  heads.delete(undefined!);
  for (const row of heads) {
    const hasRoom = KINDS.every((kind) => {
      const key = keyOf(row, kind);
      return key === null || taken(state, state.slots, kind, key) < limitOf(state, row.name, kind);
    });
    assert(!hasRoom, `task ${row.id} waits though there is room for it`);
  }
}

/** A consumer finds that a task which it has claimed stands under limits that the record does not know. */
const send: Maker = ({ random, sql, state }) => {
  const attempts = state.attempts.filter((attempt) => {
    const task = state.tasks.get(attempt.id);
    if (!task || !state.holds(attempt)) return random.once(10);
    return !model.isSlotted(state, task) || task.concurrencyKey === null && task.rateKey === null && random.once(10);
  });
  if (attempts.length === 0) return;
  const { id, claimSeq, batchId } = random.pick(attempts);
  const task = state.tasks.get(id);
  const known = task && (task.concurrencyKey ?? task.rateKey) !== null;
  const sent = {
    id,
    claimSeq,
    quarantined: state.batches.get(batchId)?.quarantined ?? false,
    concurrencyKey: known ? task.concurrencyKey : `${task?.name} concurrency`,
    rateKey: known ? task.rateKey : random.pick([null, `${task?.name} rate`]),
  };
  return step("requeueForLimits", sent, () => requeueForLimits(sql, [sent]), (ids) => {
    const isSent = model.requeueForLimits(state, sent);
    assertEquals([...ids], isSent ? [id] : []);
    state.attempts = state.attempts.filter((attempt) => attempt.id !== id || attempt.claimSeq !== claimSeq);
  });
};

const begin: Maker = ({ random, sql, state }) => {
  const claimed = state.slots.filter(({ until }) => until === "infinity").map(({ taskId }) => taskId);
  if (claimed.length === 0) return;
  const ids = random.some(claimed, 2);
  return step("startRates", ids, () => startRates(sql, ids), () => {
    for (const slot of state.slots) {
      if (ids.includes(slot.taskId) && slot.until === "infinity") slot.until = new Time(slot.per!);
    }
  });
};

/** Time passes: the slot of a rate runs out. */
const slotEnds: Maker = ({ random, sql, state }) => {
  const running = state.slots.filter((slot) => slot.until instanceof Time && !hasEnded(state, slot));
  if (running.length === 0) return;
  const slot = random.pick(running);
  const at = (slot.until as Time).at!;
  const send = () =>
    sql`
      UPDATE ${sql.schema}.slot
      SET until = now() - interval '1 second'
      WHERE task_id = ${slot.taskId} AND isfinite(until) AND (EXTRACT(epoch FROM until) * 1000000)::bigint = ${at}::bigint
    `;
  return step("time passes", `slot of task ${slot.taskId}`, send, () => slot.until = new Time(-1));
};

/** Time passes: slots have been held for a while. */
const slotsAge: Maker = ({ sql, state }) => {
  if (state.slots.length === 0) return;
  const send = () => sql`UPDATE ${sql.schema}.slot SET taken = now() - interval '1 minute'`;
  return step("time passes", "slots", send, () => {
    for (const slot of state.slots) slot.isOld = true;
  });
};

const returnIdle: Maker = ({ sql, state }) => {
  const send = async () => {
    // Only slotsAge() lets time pass, however slow the machine is. Both are sent at once, as the snapshot follows them.
    const [, returned] = await Promise.all([
      sql`UPDATE ${sql.schema}.slot SET taken = now() WHERE taken > now() - interval '30 seconds'`,
      returnIdleSlots(sql),
    ]);
    return returned;
  };
  return step("returnIdleSlots", "", send, (returned) => {
    assertEquals(returned, model.returnIdleSlots(state, (row) => state.paused.has(row.queue) || !isKnown(state, row)));
  });
};

const endSlots: Maker = ({ sql, state }) => {
  return step("deleteEndedSlots", "", () => deleteEndedSlots(sql), () => {
    state.slots = state.slots.filter((slot) => !hasEnded(state, slot));
  });
};

/** What becomes of limits, with how often each step is to be chosen. */
export const LIMIT_STEPS: [number, Maker][] = [
  [2, define],
  [14, admit],
  [2, send],
  [2, begin],
  [3, slotEnds],
  [1, slotsAge],
  [2, returnIdle],
  [1, endSlots],
];
