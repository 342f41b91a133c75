import { assertEquals } from "@std/assert";
import { codeOf } from "../../../src/database/error_codes.ts";
import { tagOf } from "../../../src/database/user_client.ts";
import { insertTasks } from "../../../src/store/insert.ts";
import type { Dependency, NewTask as NewRow } from "../../../src/store/new_task.ts";
import { scheduleUnique, type UniqueTask } from "../../../src/store/schedule.ts";
import { LONG, type State, Time } from "./state.ts";
import { depend } from "./dependencies.ts";
import { insertRecord, insertTask, keyOf, type NewTask, place, replaceTask, takeUniqueKey } from "./records.ts";
import { type Maker, NAMES, pastTime, QUEUES, step, type World } from "./world.ts";

const UNIQUE_VIOLATION = "23505";
const NO_SUCH_TASK = "23503";
const AMONG = [
  null,
  ["created"],
  ["created", "running", "failed"],
  ["created", "running", "completed"],
  ["created", "running", "completed", "failed", "cancelled"],
];

/** A task to be scheduled, for the model and as a row of the statement's JSON. */
export interface Wish {
  model: NewTask;
  row: Omit<NewRow, "unique_key" | "unique_among"> & Record<string, unknown>;
}

function wish(world: World, { unique = false } = {}): Wish {
  const { random } = world;
  const when = random.pick(["now", "now", "past", "later"]);
  const past = pastTime(world);
  const name = random.pick(NAMES);
  const limits = pickLimits(world, name);
  const task = {
    queue: random.pick(QUEUES),
    priority: random.pick([0, 0, 0, -1, 1, 7]),
    params: random.pick(["W10=", "WzFd", "WyJhIl0="]),
    uniqueKey: unique ? random.pick(["k", "l"]) : null,
    uniqueAmong: unique ? random.pick(AMONG) : null,
    uniqueFor: unique && random.once(3) ? LONG : null,
    ...limits,
    onConflict: random.pick(["keep", "replace", "error"] as const),
  };
  return {
    model: { ...task, name, notBefore: when === "past" ? past.time : new Time(when === "later" ? LONG : 0) },
    row: {
      func_name: name,
      queue: task.queue,
      params: task.params,
      priority: task.priority,
      not_before: when === "past" ? past.text : null,
      delay: when === "later" ? LONG : null,
      max_retries: random.pick([null, 0, 3]),
      retry_delay: null,
      backoff: null,
      timeout: null,
      tags: [],
      ...(limits.concurrencyKey === null ? {} : { concurrency_key: limits.concurrencyKey }),
      ...(limits.rateKey === null ? {} : { rate_key: limits.rateKey }),
      unique_key: task.uniqueKey,
      unique_among: task.uniqueAmong,
      unique_for: task.uniqueFor,
      on_conflict: task.onConflict,
    },
  };
}

/** Most have no limit; some have one of their name, some share one with others. */
function pickLimits({ random }: World, name: string): { concurrencyKey: string | null; rateKey: string | null } {
  if (random.once(2)) return { concurrencyKey: null, rateKey: null };
  const key = (kind: string) => random.once(3) ? `any ${kind}` : random.once(3) ? `${name} ${kind}` : null;
  return { concurrencyKey: key("concurrency"), rateKey: key("rate") };
}

/** A few of any kind or, at times, some that are alike, which become runs in `ready`. */
export function wishes(world: World, options?: { unique: boolean }): Wish[] {
  const { random } = world;
  if (options?.unique || !random.once(3)) {
    return Array.from({ length: 1 + random.below(3) }, () => wish(world, options));
  }
  let one = wish(world);
  while (one.row.delay !== null) one = wish(world); // it is counted for each task anew
  const { model, row } = one;
  return Array.from({ length: 2 + random.below(11) }, () => ({ model: { ...model }, row: { ...row } }));
}

function insertAll({ state }: World, wishes: Wish[], ids: number[]): void {
  assertEquals(ids.length, wishes.length);
  wishes.forEach(({ model }, index) => insertTask(state, ids[index]!, model));
}

/** Statements that schedule: the store's, on a client of the user's own, and a plain INSERT. */
const scheduleMany: Maker = (world) => {
  const wanted = wishes(world);
  const rows = wanted.map(({ row }) => row);
  const send = world.random.once(3)
    ? () => insertTasks(tagOf(world.client, "firefly"), rows)
    : () => insertTasks(world.sql, rows);
  return step("insertTasks", rows, send, (inserted) => insertAll(world, wanted, inserted.map(({ id }) => Number(id))));
};

/** A plain INSERT of several rows fails as a whole if one has a duplicate. */
const plainInsert: Maker = (world) => {
  const { random, sql } = world;
  const wanted = wishes(world, { unique: random.once(2) });
  const rows = wanted.map(({ row }) => row);
  const send = () =>
    sql`
      INSERT INTO ${sql.schema}.task (
        func_name, queue, params, priority, not_before, unique_key, unique_among, unique_for, concurrency_key, rate_key
      )
      SELECT func_name, queue, params, priority,
        COALESCE(not_before, now() + make_interval(secs => COALESCE(delay, 0))), unique_key, unique_among, unique_for,
        concurrency_key, rate_key
      FROM json_to_recordset(${JSON.stringify(rows)}::text::json) AS new (
        func_name text, queue text, params text, priority integer, not_before timestamptz, delay double precision,
        unique_key text, unique_among text[], unique_for double precision, concurrency_key text, rate_key text
      )
      RETURNING id
    `.catch((error) => codeOf(error));
  return step("INSERT", rows, send, (result) => {
    const keys = wanted.map(({ model }) => model).filter(({ uniqueKey }) => uniqueKey).map(keyOf);
    const taken = keys.some((key, index) => isTaken(world, key) || keys.indexOf(key) < index);
    if (taken) return assertEquals(result, UNIQUE_VIOLATION);
    if (typeof result === "string") throw new Error(`INSERT failed with ${result}`);
    insertAll(world, wanted, result.map(({ id }) => Number(id)));
  });

  function isTaken({ state }: World, key: string): boolean {
    const held = state.uniqueKeys.get(key);
    return held !== undefined && !held.until?.hasCome(state.clock);
  }
};

/** `firefly.schedule`, with and without a unique key. */
const scheduleInSql: Maker = (world) => {
  const { random, sql, state } = world;
  const { model, row } = wish(world, { unique: !random.once(4) });
  const fresh: NewTask = { ...model, uniqueAmong: null, params: "W10=", concurrencyKey: null, rateKey: null };
  if (model.uniqueKey === null) fresh.uniqueFor = null;
  const send = () =>
    sql`
      SELECT ${sql.schema}.schedule(
        ${row.func_name}, queue => ${row.queue}, priority => ${row.priority},
        not_before => COALESCE(${row.not_before}::timestamptz, now() + make_interval(secs => ${row.delay ?? 0})),
        unique_key => ${fresh.uniqueKey ?? null}, unique_for => ${fresh.uniqueFor ?? null},
        on_conflict => ${fresh.onConflict}
      ) AS id
    `.then(([row]) => Number(row!.id), (error) => codeOf(error));
  return step("firefly.schedule", row, send, (id) => {
    const holder = fresh.uniqueKey ? state.uniqueKeys.get(keyOf(fresh)) : undefined;
    const duplicate = holder && !holder.until?.hasCome(state.clock) ? holder.taskId : undefined;
    if (duplicate === undefined) return insertTask(state, Number(id), fresh);
    if (fresh.onConflict === "error") return assertEquals(id, UNIQUE_VIOLATION);
    assertEquals(id, duplicate);
    if (fresh.onConflict === "replace") replaceTask(state, duplicate, fresh);
  });
};

/** Several tasks with unique keys at once, some of them duplicates of one another. */
const scheduleDuplicates: Maker = (world) => {
  const wanted = wishes(world, { unique: true });
  const rows = wanted.map(({ row }) => row as NewRow);
  const send = world.random.once(3)
    ? () => scheduleUnique(tagOf(world.client, "firefly"), rows)
    : () => scheduleUnique(world.sql, rows);
  return step("scheduleUnique", rows, send, (result) => applyUnique(world, wanted.map(({ model }) => model), result));
};

/** Tasks that depend on others: on any there are, and on those before them in the call. */
const scheduleDependants: Maker = (world) => {
  const { random, sql, state } = world;
  const existing = [...state.tasks.keys()];
  const wanted = wishes(world, { unique: random.once(4) });
  const depends = wanted.map(({ model }, index): Dependency[] => {
    if (random.once(4) || model.uniqueKey !== null && model.onConflict === "replace") return [];
    return Array.from({ length: 1 + random.below(3) }, () => {
      const settled = random.once(4) ? { settled: true } : {};
      const isRef = index > 0 && (existing.length === 0 || random.once(2));
      return isRef ? { ref: random.below(index), ...settled } : { id: random.pick(existing), ...settled };
    }).filter((dependency) => "ref" in dependency || dependency.id !== undefined);
  });
  const rows = wanted.map(({ row }, i) => {
    const { unique_key, unique_among, unique_for, on_conflict, ...plain } = row;
    const unique = unique_key === null ? {} : { unique_key, unique_among, unique_for, on_conflict };
    return { ...plain, ...unique, ...(depends[i]!.length > 0 ? { depends: depends[i]! } : {}) } as NewRow;
  });
  const send = () => scheduleUnique(sql, rows).catch((error) => codeOf(error)!);
  return step("scheduleUnique", rows, send, (result) => {
    // A duplicate whose key outlasts it may be gone.
    const holders = wanted.map(({ model }) =>
      model.uniqueKey === null ? undefined : state.uniqueKeys.get(keyOf(model))
    );
    const isGone = holders.map((held) => held && !held.until?.hasCome(state.clock) && !state.tasks.has(held.taskId));
    const isRefused = wanted.some(({ model }, index) =>
      model.uniqueKey !== null && model.onConflict === "error" &&
      (holders[index] && !holders[index]!.until?.hasCome(state.clock) ||
        wanted.findIndex((other) => other.model.uniqueKey !== null && keyOf(other.model) === keyOf(model)) < index)
    );
    const isNew = (index: number) =>
      (!holders[index] || holders[index]!.until?.hasCome(state.clock)) &&
      (wanted[index]!.model.uniqueKey === null ||
        wanted.findIndex((other) =>
            other.model.uniqueKey !== null && keyOf(other.model) === keyOf(wanted[index]!.model)
          ) === index);
    const dangles = depends.some((of, index) => isNew(index) && of.some((each) => "ref" in each && isGone[each.ref]));
    if (!isRefused && dangles) return assertEquals(result, NO_SUCH_TASK);
    if (typeof result === "string") throw new Error(`_schedule() failed with ${result}`);
    applyUnique(world, wanted.map(({ model }) => model), result, depends);
  });
};

/** The wish that a duplicate refuses, of those that are scheduled together. */
export function refusalOf({ state }: World, wanted: readonly NewTask[]): NewTask | undefined {
  return wanted.find((task, index) => {
    if (task.onConflict !== "error" || task.uniqueKey === null) return false;
    return isHeld(state, task) || wanted.findIndex((other) => isDuplicate(other, task)) < index;
  });
}

/** Which of those that are scheduled together are new. */
export function areNew({ state }: World, wanted: readonly NewTask[]): boolean[] {
  return wanted.map((task, index) =>
    task.uniqueKey === null ||
    !isHeld(state, task) && wanted.findIndex((other) => isDuplicate(other, task)) === index
  );
}

function isHeld(state: State, task: NewTask): boolean {
  const held = state.uniqueKeys.get(keyOf(task));
  return held !== undefined && !held.until?.hasCome(state.clock);
}

function isDuplicate(a: NewTask, b: NewTask): boolean {
  return a === b || a.uniqueKey !== null && keyOf(a) === keyOf(b);
}

export function applyUnique(
  world: World,
  wanted: NewTask[],
  result: UniqueTask[],
  depends: Dependency[][] = wanted.map(() => []),
): void {
  const { state } = world;
  const refusal = refusalOf(world, wanted);
  if (refusal) {
    assertEquals(result.map(({ refusedKey }) => refusedKey), [refusal.uniqueKey!]);
    return;
  }
  assertEquals(result.map(({ refusedKey }) => refusedKey), wanted.map(() => null));
  const isNew = areNew(world, wanted);
  assertEquals(result.map(({ inserted }) => inserted), isNew);
  const ids = result.map(({ id }) => Number(id));
  const referred = new Set(depends.flat().map((each) => "ref" in each ? each.ref : -1));
  const inserted = wanted.flatMap((task, index) => {
    if (!isNew[index]) return [];
    const edges = { dependencies: depends[index]!.length, dependants: referred.has(index) };
    return [insertRecord(state, ids[index]!, { ...task, ...edges })];
  });
  const edges = depends.flatMap((of, index) =>
    of.map((each, ordinal) => ({
      taskId: ids[index]!,
      ordinal,
      dependencyId: "ref" in each ? ids[each.ref]! : each.id,
      settled: each.settled ?? false,
    })).filter(() => isNew[index])
  );
  depend(state, edges);
  for (const task of inserted) place(state, task);
  const duplicates = wanted.map((task, index) => ({ task, id: ids[index]!, index })).filter(({ index }) =>
    !isNew[index]
  );
  for (const { task, id } of duplicates.toSorted((a, b) => a.id - b.id || a.index - b.index)) {
    assertEquals(id, takeUniqueKey(state, keyOf(task), -1));
    if (task.onConflict === "replace") replaceTask(state, id, task);
  }
}

/** Steps that make tasks, with how often each is to be chosen. */
export const SCHEDULE_STEPS: [number, Maker][] = [
  [8, scheduleMany],
  [3, plainInsert],
  [6, scheduleInSql],
  [4, scheduleDuplicates],
  [10, scheduleDependants],
];
