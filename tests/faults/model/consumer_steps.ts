import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { claimTasks } from "../../../src/store/claim.ts";
import { parkUnknownTasks, promoteDueTasks, unparkKnownTasks } from "../../../src/store/waiting.ts";
import {
  readBatches,
  registerConsumer,
  removeConsumer,
  removeExpiredConsumers,
  renewConsumer,
} from "../../../src/store/consumers.ts";
import { rescueTasks } from "../../../src/store/rescue.ts";
import { deleteBatches, storeProgress } from "../../../src/store/settle.ts";
import { SETTLE_STEPS } from "./settle_steps.ts";
import { type Consumer, LONG, type State } from "./state.ts";
import * as model from "./transitions.ts";
import { type Maker, NAMES, QUEUES, step, uuid, type World } from "./world.ts";

function pickConsumer({ random, state, removed }: World): Consumer | undefined {
  const known = [...state.consumers.values()];
  if (removed.length > 0 && (known.length === 0 || random.once(12))) return random.pick(removed);
  return known.length > 0 ? random.pick(known) : undefined;
}

function runsQuarantined(state: State, consumerId: string): boolean {
  return [...state.batches.values()].some((batch) =>
    batch.quarantined && batch.consumerId === consumerId && batch.claims.some((claim) => state.holds(claim))
  );
}

const register: Maker = ({ random, sql, state }) => {
  if (state.consumers.size >= 3) return;
  const consumer = { id: uuid(random), alive: true, queues: random.some(QUEUES, 2), names: random.some(NAMES, 2) };
  const { id, queues, names } = consumer;
  const info = { id, queues, tasks: names, host: "test", pid: 1, version: "0.0.0", concurrency: 10 };
  return step(
    "registerConsumer",
    info,
    () => registerConsumer(sql, info, LONG),
    () => state.consumers.set(id, consumer),
  );
};

const renew: Maker = (world) => {
  const consumer = pickConsumer(world);
  if (!consumer) return;
  const send = () => renewConsumer(world.sql, consumer.id, LONG);
  return step("renewConsumer", consumer.id, send, (renewed) => {
    const known = world.state.consumers.get(consumer.id);
    assertEquals(renewed, known !== undefined);
    if (known) known.alive = true;
  });
};

/** Time passes: a consumer was stopped, or is gone. */
const expire: Maker = ({ random, sql, state }) => {
  const consumer = state.consumers.size > 0 && random.pick([...state.consumers.values()]);
  if (!consumer) return;
  const send = () =>
    sql`UPDATE ${sql.schema}.consumer SET lease_until = now() - interval '1 minute' WHERE id = ${consumer.id}`;
  return step("time passes", `lease of consumer ${consumer.id}`, send, () => consumer.alive = false);
};

/** Most often one that runs a quarantined task. */
const remove: Maker = ({ random, sql, state, removed }) => {
  const consumers = [...state.consumers.values()];
  const suspicious = consumers.filter(({ id }) => runsQuarantined(state, id));
  const consumer = random.once(3) ? random.pick([...consumers, undefined]) : random.pick([...suspicious, undefined]);
  if (!consumer) return;
  return step("removeConsumer", consumer.id, () => removeConsumer(sql, consumer.id), () => {
    state.consumers.delete(consumer.id);
    removed.push(consumer);
  });
};

/** Four consumers have died of a quarantined task already: five deaths in a row come too seldom by chance. */
const blame: Maker = ({ random, sql, state }) => {
  const quarantined = [...state.batches.values()].filter(({ quarantined }) => quarantined).flatMap(({ claims }) =>
    claims
  );
  const current = quarantined.filter((claim) => state.holds(claim));
  if (current.length === 0) return;
  const { id } = random.pick(current);
  const send = () => sql`UPDATE ${sql.schema}.task SET crash_count = 4 WHERE id = ${id}`;
  return step("time passes", `four died of task ${id}`, send, () => state.tasks.get(id)!.crashCount = 4);
};

const removeExpired: Maker = ({ sql, state, removed }) => {
  return step("removeExpiredConsumers", "", () => removeExpiredConsumers(sql), (ids) => {
    const dead = [...state.consumers.values()].filter(({ alive }) => !alive);
    assertEquals(ids.toSorted(), dead.map(({ id }) => id).toSorted());
    for (const consumer of dead) {
      state.consumers.delete(consumer.id);
      removed.push({ ...consumer, alive: false });
    }
  });
};

const claim: Maker = (world) => {
  const { random, sql, state } = world;
  const consumer = pickConsumer(world);
  if (!consumer) return;
  const request = {
    consumerId: consumer.id,
    batchId: uuid(random),
    quarantinedBatchId: runsQuarantined(state, consumer.id) || random.once(10) ? null : uuid(random),
    queues: consumer.queues,
    names: consumer.names,
    limit: random.pick([1, 2, 3, 10]),
  };
  return step("claimTasks", request, () => claimTasks(sql, request), (claim) => {
    const known = state.attempts.length;
    const expected = model.claimTasks(state, consumer, request);
    // The reply is lost now and then: nobody runs these, until their consumer reads its batches back or dies.
    if (random.once(15)) state.attempts.splice(known);
    const tasks = [...expected.tasks, ...expected.quarantined];
    assertEquals(claim.alive, expected.alive);
    assertEquals(claim.taken, expected.taken);
    if (expected.hasNextDue) assertNotEquals(claim.nextDue, null);
    assertEquals(
      claim.tasks.map((
        { id, claimSeq, attempt, retryAttempts, snoozes, funcName, queue, params, quarantined, hasSlots },
      ) => [id, claimSeq, attempt, retryAttempts, snoozes, funcName, queue, params, quarantined, hasSlots]),
      tasks
        .toSorted((a, b) => b.priority - a.priority || a.notBefore.at! - b.notBefore.at! || a.id - b.id)
        .map((task) => [
          task.id,
          task.claimSeq,
          task.retryAttempts + task.rescues + 1,
          task.retryAttempts,
          task.snoozes,
          task.name,
          task.queue,
          task.params,
          expected.quarantined.includes(task),
          model.isSlotted(state, task),
        ]),
    );
  });
};

const promote: Maker = ({ random, sql, state }) => {
  const queues = random.some(QUEUES, 3);
  return step("promoteDueTasks", queues, () => promoteDueTasks(sql, queues), ({ moved, concurrencyKeys, rateKeys }) => {
    const due = state.waiting.filter(({ queue, reason, notBefore }) =>
      queues.includes(queue) && reason === "time" && notBefore.hasCome(state.clock)
    );
    assertEquals(moved, model.promoteDueTasks(state, queues));
    // Whoever promotes is told of every line that was joined by this, and so looks at it.
    for (const { id, concurrencyKey, rateKey } of due) {
      assert(
        concurrencyKey === null || concurrencyKeys.includes(concurrencyKey),
        `the line of task ${id} is forgotten`,
      );
      assert(rateKey === null || rateKeys.includes(rateKey), `the line of task ${id} is forgotten`);
    }
  });
};

const park: Maker = ({ random, sql, state }) => {
  const queues = random.some(QUEUES, 3);
  return step("parkUnknownTasks", queues, () => parkUnknownTasks(sql, queues), (moved) => {
    assertEquals(moved.reduce((sum, { count }) => sum + count, 0), model.parkUnknownTasks(state, queues));
  });
};

const unpark: Maker = ({ random, sql, state }) => {
  const known = { queues: random.some(QUEUES, 2), names: random.some(NAMES, 2) };
  return step("unparkKnownTasks", known, () => unparkKnownTasks(sql, known), (moved) => {
    assertEquals(moved, model.unparkKnownTasks(state, known));
  });
};

const rescue: Maker = ({ sql, state }) => {
  return step("rescueTasks", "", () => rescueTasks(sql), (rescued) => {
    const expected = model.rescueTasks(state).map(({ id, status }) => ({ id, status }));
    const byId = (a: { id: number }, b: { id: number }) => a.id - b.id;
    assertEquals(rescued.map(({ id, status }) => ({ id, status })).toSorted(byId), expected.toSorted(byId));
  });
};

/** A consumer finds claims whose reply was lost. */
const readBack: Maker = (world) => {
  const { sql, state } = world;
  const consumer = pickConsumer(world);
  if (!consumer) return;
  return step("readBatches", consumer.id, () => readBatches(sql, consumer.id), (batches) => {
    for (const { id: batchId, claims } of batches) {
      const batch = state.batches.get(batchId);
      const current = (batch?.claims ?? []).filter((claim) => state.holds(claim));
      const held = claims.map(({ id, claimSeq }) => ({ id, claimSeq }));
      assertEquals(held.toSorted((a, b) => a.id - b.id), current.toSorted((a, b) => a.id - b.id));
      for (const claim of held) {
        const isKnown = state.attempts.some(({ id, claimSeq }) => id === claim.id && claimSeq === claim.claimSeq);
        if (!isKnown) state.attempts.push({ ...claim, batchId, consumerId: consumer.id });
      }
    }
  });
};

const dropBatches: Maker = ({ random, sql, state }) => {
  const ids = random.some([...state.batches.keys()], 3);
  return step("deleteBatches", ids, () => deleteBatches(sql, ids), () => {
    for (const id of ids) {
      if (!state.batches.get(id)!.claims.some((claim) => state.holds(claim))) state.batches.delete(id);
    }
  });
};

const progress: Maker = ({ random, sql, state }) => {
  if (state.attempts.length === 0) return;
  const { id, claimSeq } = random.pick(state.attempts);
  const value = random.pick([0, 0.25, 0.5, 1]);
  const send = () => storeProgress(sql, { id, claimSeq, value, note: null });
  return step("storeProgress", { id, claimSeq, value }, send, (stored) => {
    const isHeld = state.holds({ id, claimSeq });
    assertEquals(stored, isHeld);
    if (isHeld) state.tasks.get(id)!.progress = value;
  });
};

/** What consumers do, with how often each step is to be chosen. */
export const CONSUMER_STEPS: [number, Maker][] = [
  [4, register],
  [1, renew],
  [1, expire],
  [4, remove],
  [1, blame],
  [2, removeExpired],
  [16, claim],
  [6, promote],
  [2, park],
  [2, unpark],
  ...SETTLE_STEPS,
  [6, rescue],
  [1, readBack],
  [1, dropBatches],
  [1, progress],
];
