// A process of the benchmark that begins and runs workflows of one peer, on Node or on Deno.
import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import type { Setup } from "../drivers/driver.ts";
import type { Hooks, WorkflowDriver } from "../drivers/workflows/driver.ts";
import { wallClock } from "./clock.ts";
import type { Reply, Request, WorkflowCommands } from "./commands.ts";
import { countTimers, watchTimers } from "./timers.ts";

watchTimers();
const setup = JSON.parse(process.argv[2]!) as Setup;
const module = await import(`../drivers/workflows/${setup.driver}.ts`);
const driver: WorkflowDriver = module.openWorkflows(setup);

let done = 0;
let begun = 0;
let ended = 0;
let latencies: number[] = [];

const hooks: Hooks = {
  onDone: () => void done++,
  onWait: () => void begun++,
  onGoOn(sent) {
    ended++;
    if (sent === undefined) return;
    latencies.push(wallClock() - sent);
    reply({ began: true });
  },
};

const commands: { [C in keyof WorkflowCommands]: (args: WorkflowCommands[C][0]) => Promise<WorkflowCommands[C][1]> } = {
  install: () => driver.install(),
  start: ({ at }) => driver.start(hooks, at),
  async run({ kind, width = 0, ...how }) {
    const [before, start] = [done, performance.now()];
    await driver.run(kind, { ...how, width });
    return { seconds: (performance.now() - start) / 1000, done: done - before };
  },
  begin: async ({ kind, count }) => ({ addresses: await driver.begin!(kind, count) }),
  waits: () => Promise.resolve({ begun, ended }),
  async signal({ address, pause }) {
    await sleep(pause);
    await driver.signal!(address, wallClock());
  },
  latencies() {
    const times = latencies;
    latencies = [];
    return Promise.resolve({ times });
  },
  async held() {
    for (let i = 0; i < 3; i++) {
      (globalThis as { gc?(): void }).gc!();
      await sleep(20);
    }
    return { timers: countTimers(), heap: process.memoryUsage().heapUsed / 1e6 };
  },
  serverCpu: async () => ({ cpu: await driver.serverCpu?.() ?? 0 }),
};

function reply(line: Reply): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

async function answer({ id, command, args }: Request): Promise<void> {
  try {
    reply({ id, answer: await commands[command as keyof WorkflowCommands](args as never) });
  } catch (error) {
    reply({ id, error: error instanceof Error ? error.stack ?? error.message : String(error) });
  }
}

// It ends with whoever started it.
createInterface({ input: process.stdin }).on("line", (line) => void answer(JSON.parse(line))).on(
  "close",
  () => process.exit(0),
);
