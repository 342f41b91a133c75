import { assertEquals } from "@std/assert";
import { fireCron, registerCrons } from "../../../src/store/cron.ts";
import { insertTask } from "./records.ts";
import { Time } from "./state.ts";
import { type Maker, step } from "./world.ts";

const CRON = { name: "a.one", expression: "* * * * * *", timezone: "UTC", missed: "all" as const, definition: "it" };

/** Introduces a cron. Its slots begin long ago, so that there are any to fire. */
const introduce: Maker = ({ sql, state }) => {
  if (state.lastSlot > 0) return;
  const task = {
    ...{ func_name: CRON.name, queue: "default", params: "W10=", priority: 0, not_before: null, delay: null },
    ...{ max_retries: 0, retry_delay: null, backoff: null, timeout: null, tags: [] },
  };
  const crons = [{ ...CRON, names: [CRON.name], task }];
  const send = async () => {
    const registered = registerCrons(sql, { consumerId: crypto.randomUUID(), names: [CRON.name], crons });
    await sql`UPDATE ${sql.schema}.cron SET since = ${new Date(state.origin / 1000).toISOString()}::timestamptz`;
    return await registered;
  };
  return step("registerCrons", CRON, send, () => state.lastSlot = state.origin);
};

/** Fires slots as several consumers do: some of them again, some too late. */
const fire: Maker = ({ random, sql, state }) => {
  if (state.lastSlot === 0) return;
  const seconds = [-1, 0, 1, 2].filter(() => random.once(2));
  const slots = seconds.map((second) => state.lastSlot + second * 1_000_000);
  const known = [...state.tasks.keys()];
  const send = () => fireCron(sql, { ...CRON, slots: slots.map((slot) => new Date(slot / 1000)) });
  return step("fireCron", seconds, send, ({ fired }, after) => {
    const fresh = slots.filter((slot) => slot > state.lastSlot);
    assertEquals(fired, fresh.length);
    const ids = after.task.map(({ id }) => id as number).filter((id) => !known.includes(id)).sort((a, b) => a - b);
    assertEquals(ids.length, fresh.length);
    for (const [index, slot] of fresh.entries()) {
      const notBefore = Object.assign(new Time(), { at: slot });
      insertTask(state, ids[index]!, { name: CRON.name, queue: "default", priority: 0, params: "W10=", notBefore });
      state.lastSlot = slot;
    }
  });
};

/** What the clock schedules, with how often each step is to be chosen. */
export const CRON_STEPS: [number, Maker][] = [
  [1, introduce],
  [2, fire],
];
