import { setTimeout as sleep } from "node:timers/promises";
import { type Fault, type Figures, percentile } from "./fault.ts";
import { Fleet, LEASE } from "./fleet.ts";
import { checkEffects, countOf, effectsOf, ledgerDatabase, reclaimTimes, scheduleMarks, untilDone } from "./ledger.ts";
import type { Ledger } from "./ledger.ts";
import { NO_FENCE, NO_FENCE_OF_EFFECTS, NO_TIMEOUT } from "./protections.ts";
import { without } from "../support/without.ts";

/** How much happens to how many consumers. There are more tasks if these are not enough for that. */
interface Size {
  readonly consumers: number;
  readonly tasks: number;
  readonly kills: number;
  readonly stops: number;
}

const FULL: Size = { consumers: 4, tasks: 8_000, kills: 15, stops: 8 };
const SHORT: Size = { consumers: 3, tasks: 400, kills: 2, stops: 1 };
/** How long each attempt keeps its transaction open, in milliseconds. */
const HOLD = 5;
/** How often the control is tried. */
const CONTROL_TRIES = 6;
/** So many tasks are left at least while consumers are interrupted. */
const LEFT = 200;

/** Fault 1: consumers die and sleep in the middle of what they do. */
export const killedConsumers: Fault = {
  number: 1,
  title: "kill -9 one of 4 consumers every 2 s, SIGSTOP others for a lease and 1.2 to 2.2 s",
  async run(figures, scale) {
    await using db = await ledgerDatabase();
    const count = await harass(db, scale === "full" ? FULL : SHORT);
    await checkEffects(figures, db, count);
    const times = await reclaimTimes(db);
    figures.atLeast("claims left behind, and claimed again", times.length, 1);
    figures.within("from the interruption to the next claim, p99", percentile(times, 0.99), LEASE + 1000);
    figures.within("from the interruption to the next claim, slowest", Math.max(...times), LEASE + 2000);
  },
  async control(figures: Figures) {
    await using copy = await without(NO_FENCE, NO_FENCE_OF_EFFECTS, NO_TIMEOUT);
    let doubles = 0;
    // It takes a stop between an effect and its COMMIT: one is enough to say.
    for (let tries = 0; doubles === 0 && tries < CONTROL_TRIES; tries++) {
      await using db = await ledgerDatabase();
      await harass(db, { ...SHORT, kills: 0, stops: 2 }, copy.root);
      doubles = (await effectsOf(db)).twice;
    }
    figures.atLeast(`effects twice, unfenced, within ${CONTROL_TRIES} tries`, doubles, 1);
  },
};

/** Kills and stops consumers that are at work, until all that is done; resolves to how many tasks there were. */
async function harass(db: Ledger, { consumers, tasks, kills, stops }: Size, root?: string): Promise<number> {
  let count = tasks;
  let isOver = false;
  await scheduleMarks(db, tasks, { ms: HOLD });
  await using fleet = await Fleet.start(db, { size: consumers, root });
  const harm = Promise.all([killSome(fleet, kills), stopSome(fleet, stops)]).finally(() => isOver = true);
  const supply = (async () => {
    for (; !isOver; await sleep(100)) {
      if (await countOf(db, "created") > LEFT) continue;
      await scheduleMarks(db, LEFT, { from: count + 1, ms: HOLD });
      count += LEFT;
    }
  })();
  await Promise.all([harm, supply]);
  await untilDone(db, 240_000);
  return count;
}

/** Each in turn, every 2 s. */
async function killSome(fleet: Fleet, times: number): Promise<void> {
  for (let i = 0; i < times; i++) {
    await sleep(2_000);
    const awake = fleet.members.filter((member) => !fleet.isStopped(member));
    await fleet.kill(awake[i % awake.length]!);
  }
}

/** One after another. */
async function stopSome(fleet: Fleet, times: number): Promise<void> {
  for (let i = 0; i < times; i++) {
    await sleep(500);
    await fleet.stop(fleet.members[i % fleet.members.length]!, LEASE + 1_200 + 1_000 * Math.random());
  }
}
