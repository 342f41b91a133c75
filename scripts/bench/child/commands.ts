import type { Payload } from "../drivers/driver.ts";

/** What a process of the benchmark is asked for; each is a line of JSON on its stdin, answered by one on its stdout. */
export interface Commands {
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
