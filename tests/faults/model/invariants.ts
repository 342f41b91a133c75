import type { Row, Snapshot } from "./snapshot.ts";

/** What a step may do that others must not. */
export interface Licence {
  /** Ids that it deletes. */
  deletes?: number[];
  /** Ids of ended tasks that it makes `created` again. */
  retries?: number[];
  /** Ids that a hand has edited and nothing has put right since: they may stand nowhere. */
  edited: ReadonlySet<number>;
  /** Ids that were cancelled because a dependency did not complete, before the step. */
  unmet: ReadonlySet<number>;
  /** Ids that had ended and were made `created` again, in this step or before. */
  retried: ReadonlySet<number>;
  /** Ids from which a hand has taken their slots. */
  unadmitted: ReadonlySet<number>;
}

/**
 * What must hold whatever the model says, of the tables alone: the first rule that does not, in words; undefined if all
 * do. `before` is what the tables held before the step.
 */
export function violationOf(before: Snapshot, after: Snapshot, licence: Licence): string | undefined {
  return lostOrRevived(before, after, licence) ?? misplaced(after, licence.edited) ??
    heldTwice(after, licence.edited) ??
    unadmitted(after, licence.unadmitted) ?? unlisted(after) ?? unreleased(after, licence) ??
    forgottenCall(after, licence.retried) ??
    asleep(after);
}

/**
 * A task waits for its dependencies as long as one of them is open, and no longer; an open one has not ended, or its end
 * is noted; and a task that was cancelled for want of one has one that did not complete.
 */
function unreleased(after: Snapshot, { unadmitted: edited, unmet }: Licence): string | undefined {
  const tasks = new Map(after.task.map((task) => [task.id, task]));
  const noted = new Set(after.ended.map(({ task_id }) => task_id));
  const edges = Map.groupBy(after.dependency, ({ task_id }) => task_id);
  const pending = new Map(
    after.waiting.filter(({ suspended }) => !suspended).map((row) => [`${row.id}/${row.claim_seq}`, row.pending]),
  );
  for (const { id, claim_seq, status, dependencies } of after.task) {
    const all = edges.get(id) ?? [];
    edges.delete(id);
    const own = all.filter(({ called }) => !called);
    if (own.length !== dependencies) return `task ${id} has ${own.length} dependencies instead of ${dependencies}`;
    const open = own.filter(({ status }) => status === null);
    const waits = pending.get(`${id}/${claim_seq}`) ?? 0;
    if (status === "created" && waits !== open.length && !edited.has(id as number)) {
      return `task ${id} waits for ${waits} tasks, and ${open.length} of its dependencies are open`;
    }
    for (const { dependency_id } of all.filter(({ status }) => status === null)) {
      const dependency = tasks.get(dependency_id);
      if (dependency?.status !== "created" && !noted.has(dependency_id)) {
        return `task ${id} waits for task ${dependency_id}, which has ended, and that is noted nowhere`;
      }
      if (dependency?.dependants === false) return `task ${dependency_id} has a dependant and does not say so`;
    }
    const isUnmet = unmet.has(id as number);
    if (isUnmet && !own.some((edge) => !edge.settled && edge.status !== null && edge.status !== "completed")) {
      return `task ${id} was cancelled for want of a dependency, and all have completed`;
    }
  }
  for (const [id, left] of edges) {
    const isLeft = left.every(({ called, status }) => called && status === null) && noted.has(id);
    if (!isLeft) return `task ${id} is gone and has dependencies`;
  }
}

/** A callee does not outlive its caller, unless the end of that is still noted. */
function forgottenCall(after: Snapshot, retried: ReadonlySet<number>): string | undefined {
  const status = new Map(after.task.map(({ id, status }) => [id, status]));
  const noted = new Set(after.ended.map(({ task_id }) => task_id));
  const calls = after.dependency.filter(({ called }) => called);
  for (const { task_id, dependency_id, shared, status: told } of calls) {
    if (told !== null || shared || status.get(dependency_id) !== "created") continue;
    if (status.get(task_id) === "created" || noted.has(task_id) || retried.has(dependency_id as number)) continue;
    // One that others have called, too, is theirs.
    if (calls.filter((call) => call.dependency_id === dependency_id).length > 1) continue;
    return `task ${dependency_id} goes on though task ${task_id}, which has called it, has ended`;
  }
}

/** A suspended task waits for what may come: not for a signal that has, nor for callees that have ended. */
function asleep(after: Snapshot): string | undefined {
  const current = new Set(after.task.filter(({ status }) => status === "created").map((t) => `${t.id}/${t.claim_seq}`));
  const tasks = new Set(after.task.map(({ id }) => id));
  for (const { id, claim_seq, reason, signals, pending, suspended } of after.waiting) {
    if (!suspended || !current.has(`${id}/${claim_seq}`)) continue;
    const names = (signals ?? []) as string[];
    const sent = after.signal.find(({ task_id, name }) => task_id === id && names.includes(name as string));
    if (sent) return `task ${id} waits for the signal "${sent.name}", which has been sent`;
    if (reason === "suspended" && names.length === 0 && pending === null) return `task ${id} waits for nothing`;
    if (pending === null) continue;
    const open = after.step.filter((step) => step.task_id === id && step.kind === "call" && step.status === "waiting")
      .map(({ callees }) =>
        after.dependency.filter((edge) =>
          edge.task_id === id && edge.called && edge.status === null &&
          (callees as number[]).includes(edge.dependency_id as number)
        ).length
      );
    if ((pending as number) < 1 || (pending as number) > Math.max(0, ...open)) {
      return `task ${id} waits for ${pending} callees, and of its calls ${open} are open`;
    }
  }
  for (const { task_id, name, status, seq, ended } of after.step) {
    if (!tasks.has(task_id)) return `step "${name}" of task ${task_id}, which is gone, is left`;
    if ((status === "waiting") !== (seq === null) || ended !== (seq !== null)) {
      return `step "${name}" of task ${task_id} is ${status} and has the seq ${seq}`;
    }
  }
  for (const { task_id } of after.signal) if (!tasks.has(task_id)) return `a signal to task ${task_id} is left`;
}

/** `failed_task` has a row for each task that has failed, and for no other. */
function unlisted(after: Snapshot): string | undefined {
  const failed = new Set(after.task.filter(({ status }) => status === "failed").map(({ id }) => id as number));
  const listed = new Set(after.failed);
  for (const id of failed) if (!listed.has(id)) return `task ${id} has failed and has no row of failed_task`;
  for (const id of listed) if (!failed.has(id)) return `task ${id} has not failed and has a row of failed_task`;
}

/** Nothing vanishes but by delete; an end is final unless retried; the fence never goes backwards; history grows. */
function lostOrRevived(before: Snapshot, after: Snapshot, { deletes = [], retries = [] }: Licence): string | undefined {
  const now = new Map(after.task.map((task) => [task.id, task]));
  for (const task of before.task) {
    const id = task.id as number;
    const next = now.get(id);
    if (!next) {
      if (deletes.includes(id)) continue;
      return `task ${id} vanished`;
    }
    if (task.status !== "created" && next.status !== task.status && !retries.includes(id)) {
      return `task ${id} was ${task.status} and is ${next.status} though nobody retried it`;
    }
    if (Number(next.claim_seq) < Number(task.claim_seq)) return `the claim_seq of task ${id} went backwards`;
    const [had, has] = [countErrors(task), countErrors(next)];
    // An attempt that failed, and then could not be tried again since a duplicate has the key by now.
    const allowed = String(next.errors).includes("TaskExists") ? had + 2 : had + 1;
    if (has < had || has > allowed) return `task ${id} had ${had} errors and has ${has}`;
    if (task.status === "created" && next.status === "failed" && has === had && !retries.includes(id)) {
      return `task ${id} failed and leaves no error`;
    }
  }
}

function countErrors({ errors }: Row): number {
  return errors === "" ? 0 : String(errors).split(", ").length;
}

/** A `created` record stands in exactly one place under its current fence, and is claimed at most once. */
function misplaced(after: Snapshot, edited: ReadonlySet<number>): string | undefined {
  const standing = new Map<string, string[]>();
  const note = (key: string, where: string) => {
    const places = standing.get(key);
    if (places) places.push(where);
    else standing.set(key, [where]);
  };
  for (const row of after.ready) note(`${row.id}/${row.claim_seq}`, "ready");
  for (const row of after.waiting) note(`${row.id}/${row.claim_seq}`, `waiting: ${row.reason}`);
  for (const batch of after.claim_batch) for (const claim of batch.claims as string[]) note(claim, `batch ${batch.id}`);
  for (const { id, claim_seq, status } of after.task) {
    if (status !== "created") continue;
    const places = standing.get(`${id}/${claim_seq}`) ?? [];
    if (places.length > 1) return `task ${id} stands in ${places.length} places: ${places.join(", ")}`;
    if (places.length === 0 && !edited.has(id as number)) return `task ${id} is created and stands nowhere`;
  }
}

/** A task that waits to run holds its unique key, and so no other does; one that keeps nobody away any more does not. */
function heldTwice(after: Snapshot, edited: ReadonlySet<number>): string | undefined {
  const holders = new Map(after.unique_key.map(({ key, task_id, until }) => [key, { task_id, until }]));
  const claimed = new Set(after.claim_batch.flatMap(({ claims }) => claims as string[]));
  const owners = new Map<number, string>();
  for (const { id, claim_seq, status, func_name, unique_key, unique_among } of after.task) {
    if (unique_key === null) continue;
    const key = `${func_name} ${unique_key}`;
    const holder = holders.get(key);
    owners.set(id as number, key);
    const among = (unique_among ?? ["created", "running"]) as string[];
    const isFree = claimed.has(`${id}/${claim_seq}`) && !among.includes("running");
    // One that ran without its key, until a hand has ended its claim, takes the key again when it is put back.
    if (status === "created" && !isFree && !edited.has(id as number) && holder?.task_id !== id) {
      return `task ${id} does not hold its key "${key}"`;
    }
    const isHolder = holder?.task_id === id && holder!.until === null;
    if (isHolder && !among.includes(status as string)) {
      return `task ${id} is ${status} and still holds its key "${key}"`;
    }
  }
  for (const { key, task_id, until } of after.unique_key) {
    if (until === null && owners.get(task_id as number) !== key) {
      return `key "${key}" is held for task ${task_id}, which is gone`;
    }
  }
}

/**
 * Whoever is ready or runs under a limit holds one slot of each of its keys, and nobody else holds any. Of a rate, the
 * slot of one that runs may be running out already.
 */
function unadmitted(after: Snapshot, edited: ReadonlySet<number>): string | undefined {
  const ready = new Set(after.ready.map(({ id, claim_seq }) => `${id}/${claim_seq}`));
  const claimed = new Set(after.claim_batch.flatMap(({ claims }) => claims as string[]));
  const slots = Map.groupBy(
    after.slot.filter(({ until }) => until === null || until === "infinity"),
    ({ task_id }) => task_id as number,
  );
  for (const { id, claim_seq, status, concurrency_key, rate_key } of after.task) {
    const held = slots.get(id as number) ?? [];
    slots.delete(id as number);
    if (edited.has(id as number) && held.length === 0) continue;
    const isReady = status === "created" && ready.has(`${id}/${claim_seq}`);
    const isClaimed = status === "created" && claimed.has(`${id}/${claim_seq}`);
    const has = (wanted: string) => held.filter(({ kind }) => kind === wanted).map(({ key }) => key).join();
    const mayHave = (key: unknown) => isReady || isClaimed ? key ?? "" : "";
    const isRight = has("concurrency") === mayHave(concurrency_key) &&
      (has("rate") === mayHave(rate_key) || isClaimed && has("rate") === "");
    if (!isRight) return `task ${id} holds ${JSON.stringify(held)}, and is ${isReady ? "" : "not "}ready`;
  }
  for (const [id] of slots) return `a slot is held for task ${id}, which is gone`;
}
