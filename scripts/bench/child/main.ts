// A process of the benchmark: a producer or a consumer of one peer, on Node or on Deno.
import process from "node:process";
import { createInterface } from "node:readline";
import type { OpenDriver, Payload, Producer, Setup } from "../drivers/driver.ts";
import { wallClock } from "./clock.ts";
import type { QueueCommands, Reply, Request } from "./commands.ts";
import { fill, load, ping, roundTrips, schedule, scheduleFor } from "./scheduling.ts";

/** Milliseconds between two reports of how many tasks have started. */
const INTERVAL = 5;

const setup = JSON.parse(process.argv[2]!) as Setup;
const { openDriver } = await import(`../drivers/${setup.driver}.ts`) as { openDriver: OpenDriver };
const driver = openDriver(setup);

let producing: Promise<Producer> | undefined;
const producer = () => producing ??= driver.producer();

let started = 0;
let first = 0;
let latencies: number[] = [];

function onTask({ t, report, hold }: Payload): void | Promise<void> {
  if (started++ === 0) first = wallClock();
  if (t !== undefined) latencies.push(wallClock() - t);
  if (report) reply({ began: true });
  if (hold) return new Promise(() => {});
}

function reportStarted(): void {
  let reported = 0;
  setInterval(() => {
    if (started > reported) reply({ started: reported = started, first });
  }, INTERVAL);
}

const commands: { [C in keyof QueueCommands]: (args: QueueCommands[C][0]) => Promise<QueueCommands[C][1]> } = {
  install: () => driver.install(),
  schedule: async (args) => await schedule(await producer(), args),
  scheduleFor: async (args) => await scheduleFor(await producer(), args),
  fill: async (args) => await fill(await producer(), args),
  ping: async (args) => await ping(await producer(), args),
  load: async (args) => await load(await producer(), args),
  roundTrips: async (args) => await roundTrips(await producer(), args),
  consume() {
    reportStarted();
    return driver.consumer(onTask);
  },
  latencies() {
    const times = latencies;
    latencies = [];
    return Promise.resolve({ times });
  },
  remaining: async () => ({ remaining: await driver.remaining() }),
  serverCpu: async () => ({ cpu: await driver.serverCpu?.() ?? 0 }),
};

function reply(line: Reply): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

async function answer({ id, command, args }: Request): Promise<void> {
  try {
    reply({ id, answer: await commands[command as keyof QueueCommands](args as never) });
  } catch (error) {
    reply({ id, error: error instanceof Error ? error.stack ?? error.message : String(error) });
  }
}

// It ends with whoever started it.
createInterface({ input: process.stdin }).on("line", (line) => void answer(JSON.parse(line))).on(
  "close",
  () => process.exit(0),
);
