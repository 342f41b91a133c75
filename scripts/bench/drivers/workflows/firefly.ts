import { current, Firefly, signal, task } from "../../../../mod.ts";
import type { Setup } from "../driver.ts";
import { Countdown, type Hooks, lanes, LENGTH, LONG, type WorkflowDriver } from "./driver.ts";

let hooks: Hooks;
/** Called by the last part of each workflow, before it ends. */
let onEnd: (workflow: number) => void = () => {};

const steps = task("bench.steps", async (workflow: number) => {
  const { step } = current();
  for (let i = 0; i < LENGTH; i++) {
    await step(`step ${i}`, () => {
      hooks.onDone();
      return 1;
    });
  }
  onEnd(workflow);
});

const inserts = task("bench.inserts", async (workflow: number) => {
  const { step } = current();
  for (let i = 0; i < LENGTH; i++) {
    await step(`step ${i}`, async () => {
      await current().sql`INSERT INTO effect (workflow, i) VALUES (${workflow}, ${i})`;
      hooks.onDone();
      return 1;
    });
  }
  onEnd(workflow);
});

const member = task("bench.member", (i: number) => {
  hooks.onDone();
  return i;
});

const fanIn = task("bench.fan_in", (workflow: number, numbers: number[]) => {
  onEnd(workflow);
  return numbers.reduce((a, b) => a + b, 0);
});

const link = task("bench.link", (workflow: number, i: number, before: number) => {
  hooks.onDone();
  if (i === LENGTH) onEnd(workflow);
  return before + 1;
});

const calls = task("bench.calls", async (workflow: number, width: number) => {
  const numbers = await current().step.callMany(member, Array.from({ length: width }, (_, i) => [i] as const));
  onEnd(workflow);
  return numbers.reduce((a, b) => a + b, 0);
});

const sleep = task("bench.sleep", async (workflow: number) => {
  const { step } = current();
  const part = () => hooks.onDone();
  await step("before", part);
  await step.sleep(1);
  await step("after", part);
  onEnd(workflow);
});

const asleep = task("bench.asleep", async () => {
  hooks.onWait();
  await current().step.sleep(LONG);
  hooks.onGoOn();
});

const go = signal<{ sent: number }>("bench.go");

const waiting = task("bench.waiting", async () => {
  hooks.onWait();
  hooks.onGoOn((await current().step.waitFor(go)).sent);
});

const TASKS = [steps, inserts, member, fanIn, link, calls, sleep, asleep, waiting];

/** How many tasks one call schedules at most. */
const CHUNK = 5000;

/** Firefly as it comes. */
export function openWorkflows({ url, config }: Setup): WorkflowDriver {
  const ff = new Firefly({ database: url });
  let consumer: ReturnType<Firefly["consume"]> | undefined;
  return {
    async install() {
      await using own = new Firefly({ database: url });
      await own.migrate();
      await own.sql`CREATE TABLE effect (workflow integer NOT NULL, i integer NOT NULL)`;
    },
    async start(given, at) {
      hooks = given;
      consumer = ff.consume({ tasks: TASKS, concurrency: at });
      await consumer.ready;
    },
    async run(kind, { count, at, width }) {
      const workflows = Array.from({ length: count }, (_, i) => i);
      const countdown = new Countdown(count);
      onEnd = countdown.one;
      switch (kind) {
        case "steps":
          await ff.run(() => steps.scheduleMany(workflows.map((workflow) => [workflow])));
          break;
        case "inserts":
          await ff.run(() => inserts.scheduleMany(workflows.map((workflow) => [workflow])));
          break;
        case "fan":
          await lanes(1, count, async (workflow) => {
            const ended = new Countdown(1);
            onEnd = () => (ended.one(), countdown.one());
            await ff.run(() => {
              if (config.calls) return calls.schedule(workflow, width);
              return fanIn.schedule(workflow, member.scheduleMany(Array.from({ length: width }, (_, i) => [i])));
            });
            await ended.done;
          });
          break;
        case "chain":
          await runChains(ff, { count, at, onChain: countdown.one });
          break;
        case "sleep":
          await ff.run(() => sleep.scheduleMany(workflows.map((workflow) => [workflow])));
      }
      await countdown.done;
      await consumer!.stop(); // its last tasks have ended then
    },
    async begin(kind, count) {
      const scheduled = kind === "asleep" ? asleep : waiting;
      const ids: number[] = [];
      for (let i = 0; i < count; i += CHUNK) {
        const some = Array.from({ length: Math.min(CHUNK, count - i) }, () => [] as []);
        for (const { id } of await ff.run(() => scheduled.scheduleMany(some))) ids.push(id);
      }
      return kind === "asleep" ? [] : ids;
    },
    async signal(address, sent) {
      await ff.run(() => go.send(Number(address), { sent }));
    },
  };
}

/** Each chain is one expression. */
async function runChains(
  ff: Firefly,
  { count, at, onChain }: { readonly count: number; readonly at: number; readonly onChain: () => void },
): Promise<void> {
  const running = new Map<number, () => void>();
  onEnd = (workflow) => {
    running.get(workflow)!();
    onChain();
  };
  await lanes(at, count, async (workflow) => {
    const ended = new Promise<void>((resolve) => running.set(workflow, resolve));
    await ff.run(async () => {
      let last = link.schedule(workflow, 1, 0);
      for (let i = 2; i <= LENGTH; i++) last = link.schedule(workflow, i, last);
      await last;
    });
    await ended;
  });
}
