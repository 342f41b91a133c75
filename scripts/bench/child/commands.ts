import type { Payload } from "../drivers/driver.ts";
import type { Kind } from "../drivers/workflows/driver.ts";

/** What a process of the benchmark is asked for; each is a line of JSON on its stdin, answered by one on its stdout. */
export interface QueueCommands {
  /** Makes tables and queues. */
  install: [Nothing, void];
  /** Schedules `count` tasks, `at` calls at a time. */
  schedule: [{ count: number; at: number; payload?: Partial<Payload> }, void];
  /** Schedules for `seconds`, `at` calls at a time; answers how many, and how long that took. */
  scheduleFor: [{ seconds: number; at: number }, Taken];
  /** Schedules `count` tasks by calls with `chunk` each. */
  fill: [{ count: number; chunk: number }, Taken];
  /** Waits for some milliseconds, schedules one task, and has its start reported. */
  ping: [{ pause: number }, void];
  /** Schedules at random times, `rate` a second on average, whether or not the calls before have ended. */
  load: [{ rate: number; seconds: number }, Taken];
  /** Schedules `count` tasks one after the other, and waits for the result of each; answers milliseconds. */
  roundTrips: [{ count: number }, { times: number[] }];
  /** Starts a consumer. */
  consume: [Nothing, void];
  /** Milliseconds from schedule to start of the tasks since it was asked last. */
  latencies: [Nothing, { times: number[] }];
  /** How many tasks have not ended. */
  remaining: [Nothing, { remaining: number }];
  /** Milliseconds of CPU of a server that is not PostgreSQL; 0 if it is. */
  serverCpu: [Nothing, { cpu: number }];
}

/** What a process that runs workflows is asked for; some of it is what others are asked for, too. */
export interface WorkflowCommands extends Pick<QueueCommands, "install" | "latencies" | "serverCpu"> {
  /** Starts what runs workflows, `at` at a time. */
  start: [{ at: number }, void];
  /**
   * Runs `count` workflows, and resolves when all have ended. Answers seconds, and how many steps, links and members of a
   * fan-out have run.
   */
  run: [{ kind: Kind; count: number; at: number; width?: number }, { seconds: number; done: number }];
  /** Begins workflows that sleep for long, or wait for a signal; answers how to address them. */
  begin: [{ kind: "asleep" | "waiting"; count: number }, { addresses: (string | number)[] }];
  /** How many have begun to sleep or to wait, and how many have gone on from there. */
  waits: [Nothing, { begun: number; ended: number }];
  /** Waits for some milliseconds, and sends a signal. */
  signal: [{ address: string | number; pause: number }, void];
  /** Timers, and MB of heap after its garbage was collected. */
  held: [Nothing, { timers: number; heap: number }];
}

/** All of them: both programs speak the same protocol. */
export interface Commands extends QueueCommands, WorkflowCommands {}

/** No arguments. */
export type Nothing = Record<never, never>;

/** How many tasks were scheduled, and in how many seconds. */
export interface Taken {
  readonly count: number;
  readonly seconds: number;
}

/** One of them. */
export type Command = keyof Commands;

/** A line to the process. */
export interface Request {
  readonly id: number;
  readonly command: Command;
  readonly args: Commands[Command][0];
}

/** A line from the process: the answer to a request, how many tasks its consumer has started, or the start of one. */
export type Reply =
  | { readonly id: number; readonly answer?: Commands[Command][1] }
  | { readonly id: number; readonly error: string }
  | { readonly started: number; readonly first: number }
  | { readonly began: true };
