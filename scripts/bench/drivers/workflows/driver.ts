/** How many steps and links a workflow has. */
export const LENGTH = 10;
/** How long the workflows sleep that the benchmark does not wait for, in seconds. */
export const LONG = 3600;

/** What workflows do: ten steps without effects, or with one INSERT each; a fan-out; a chain; a step, a second, a step. */
export type Kind = "steps" | "inserts" | "fan" | "chain" | "sleep";

/** What a driver tells of the workflows that it runs. */
export interface Hooks {
  /** A step, a link or a member of a fan-out runs. */
  onDone(): void;
  /** A workflow is about to sleep or to wait. */
  onWait(): void;
  /** One that slept for long goes on, or one got a signal that was sent at that time of the wall clock. */
  onGoOn(sent?: number): void;
}

/** A workflow engine, as the benchmark uses it. */
export interface WorkflowDriver {
  /** Makes tables and queues, and closes its connections. */
  install(): Promise<void>;
  /** Starts what runs workflows, `at` at a time. */
  start(hooks: Hooks, at: number): Promise<void>;
  /**
   * Runs `count` workflows, and resolves when all have ended. Chains are begun by `at` lanes, each of which begins one when
   * its last one has ended.
   */
  run(kind: Kind, options: { readonly count: number; readonly at: number; readonly width: number }): Promise<void>;
  /** Begins workflows that sleep for long, or wait for a signal; resolves to how to address them. */
  begin?(kind: "asleep" | "waiting", count: number): Promise<(string | number)[]>;
  /** Sends a signal that carries a time. */
  signal?(address: string | number, sent: number): Promise<void>;
  /** Milliseconds of CPU that its server has used, if that is not PostgreSQL. */
  serverCpu?(): Promise<number>;
}

/** Resolves after so many calls of `one()`. */
export class Countdown {
  #left: number;
  readonly #done = Promise.withResolvers<void>();

  constructor(count: number) {
    this.#left = count;
  }

  readonly one = (): void => {
    if (--this.#left === 0) this.#done.resolve();
  };

  get done(): Promise<void> {
    return this.#done.promise;
  }
}

/** Calls `run` with each number below `count`, `at` calls at a time. */
export async function lanes(at: number, count: number, run: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  await Promise.all(Array.from({ length: Math.min(at, count) }, async () => {
    while (next < count) await run(next++);
  }));
}
