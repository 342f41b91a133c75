import { makeTag, openClient, type Rows } from "../../../src/database/driver.ts";
import { Random } from "../../support/random.ts";
import type { TestDatabase } from "../../support/database.ts";
import { CONSUMER_STEPS } from "./consumer_steps.ts";
import { CRON_STEPS } from "./cron_steps.ts";
import { FORK, HAND_STEPS } from "./hand_steps.ts";
import { note, type Seen } from "./life.ts";
import { LIMIT_STEPS } from "./limit_steps.ts";
import { MOVE_STEPS } from "./move_steps.ts";
import { violationOf } from "./invariants.ts";
import { SCHEDULE_STEPS } from "./schedule_steps.ts";
import { differenceOf, readSnapshot } from "./snapshot.ts";
import { State } from "./state.ts";
import { CALL, WAIT_STEPS } from "./wait_steps.ts";
import type { Maker, Step, World } from "./world.ts";

/** More records than this and none are scheduled. */
const FULL = 45;
/** How many steps a failure shows. */
const SHOWN = 25;

/**
 * Takes random steps, each in the database and in the model, and compares the two after each.
 *
 * @throws {Error} If they differ, or if a rule is broken that holds whatever the model says; with the seed and the last
 * steps.
 */
export async function runModel(
  db: TestDatabase,
  { seed, steps }: { seed: number; steps: number },
): Promise<Seen> {
  // Nothing crashes here, so nobody waits for the disk.
  const connection = { synchronous_commit: "off", plan_cache_mode: "force_generic_plan", jit: "off" };
  const client = openClient(db.settings, { max: 1, connection } as never);
  // deno-lint-ignore require-await -- a statement is sent when it is built, so that the snapshot can follow at once
  const sql = makeTag(async (build) => build(client).execute() as unknown as Rows<never>, "firefly");
  const world: World = {
    random: new Random(seed),
    state: new State(),
    sql,
    client: { query: (text, params) => client.unsafe(text, params as never[]).execute() },
    removed: [],
  };
  try {
    return await takeSteps(world, steps, seed);
  } finally {
    await client.end({ timeout: 1 });
  }
}

async function takeSteps(world: World, steps: number, seed: number): Promise<Seen> {
  const { state, sql } = world;
  const seen: Seen = new Map();
  const trace: string[] = [];
  let before = await readSnapshot(sql);
  let standing = state.places();
  state.clock = before.clock;
  state.origin = Math.floor(before.clock / 1000) * 1000 - 200_000 * 1_000_000;
  for (let count = 1; count <= steps; count++) {
    const step = pickStep(world);
    trace.push(`${count}. ${step.cause} ${step.detail}`);
    try {
      const [result, after] = await Promise.all([step.send(), readSnapshot(sql)]);
      step.apply(result, after);
      const wrong = violationOf(before, after, {
        ...step,
        edited: state.edited,
        unadmitted: state.unadmitted,
        unmet: state.unmet,
        retried: state.retried,
      }) ??
        differenceOf(after, state);
      if (wrong !== undefined) throw new Error(wrong);
      const now = state.places();
      note(seen, { by: step.cause, before: standing, after: now, edited: state.unadmitted });
      before = after;
      standing = now;
      state.clock = after.clock;
    } catch (cause) {
      const last = trace.slice(-SHOWN).join("\n");
      throw new Error(
        `The database is not as the model with MODEL_SEED=${seed} after step ${count}: ${
          (cause as Error).message
        }\n${last}`,
        { cause },
      );
    }
  }
  return seen;
}

const WEIGHED = [
  ...SCHEDULE_STEPS,
  ...CONSUMER_STEPS,
  ...LIMIT_STEPS,
  ...CRON_STEPS,
  ...HAND_STEPS,
  ...MOVE_STEPS,
  ...WAIT_STEPS,
]
  .flatMap((
    [weight, maker],
  ) => Array<Maker>(weight).fill(maker));

/** What makes tasks. */
const SCHEDULES = new Set([...SCHEDULE_STEPS.map(([, maker]) => maker), CALL, FORK]);

function pickStep(world: World): Step {
  for (;;) {
    const maker = world.random.pick(WEIGHED);
    if (world.state.tasks.size > FULL && SCHEDULES.has(maker)) continue;
    const step = maker(world);
    if (step) return step;
  }
}
