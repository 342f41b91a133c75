/** What a task of the benchmark takes. */
export interface Payload {
  readonly i: number;
  readonly s: string;
  /** When it was scheduled, by the wall clock in milliseconds; only where latency is measured. */
  readonly t?: number;
  /** Whether its start is reported at once. */
  readonly report?: boolean;
  /** Whether it keeps its slot until its consumer is gone. */
  readonly hold?: boolean;
}

/** What a driver is given. Node and Deno both run drivers, Node without a build: types that can be stripped, no more. */
export interface Setup {
  /** The file of `child/` without its ending: what the process understands. */
  readonly program: "main" | "workflows";
  /** The checkout whose code runs; none for this one. */
  readonly tree?: string;
  /** The file of `drivers/` without its ending. */
  readonly driver: string;
  /** A database that nobody else uses, and that `install()` finds empty. */
  readonly url: string;
  /** A directory that nobody else uses. */
  readonly directory: string;
  /** The directory with the `node_modules` of the peers. */
  readonly packages: string;
  /** Whether each task inserts a row into the table `effect`. */
  readonly effects: boolean;
  /** The settings of the peer, by the names that its driver knows. */
  readonly config: Config;
}

/** Settings of a peer. */
export type Config = Readonly<Record<string, number | boolean>>;

/** Runs one task; a promise keeps its slot. */
export type Handler = (payload: Payload) => void | Promise<void>;

/** Something that schedules. */
export interface Producer {
  one(payload: Payload): Promise<unknown>;
  /** As one call of the peer. */
  many(payloads: Payload[]): Promise<unknown>;
  /** Schedules, and waits for the result. */
  result?(payload: Payload): Promise<unknown>;
}

/** A queue, as the benchmark uses it. The process is ended when it is not needed any more, so nothing is closed. */
export interface Driver {
  /** Makes tables and queues. */
  install(): Promise<void>;
  producer(): Promise<Producer>;
  /** Starts one; resolves when it looks for tasks. */
  consumer(handler: Handler): Promise<void>;
  /** How many tasks have not ended, or more than 0 as long as there are any. */
  remaining(): Promise<number>;
  /** Milliseconds of CPU that its server has used, if that is not PostgreSQL. */
  serverCpu?(): Promise<number>;
}

/** The only export of a driver's file that others use. */
export type OpenDriver = (setup: Setup) => Driver;

/** The number that a setting has. */
export function numberOf(config: Config, name: string): number {
  const value = config[name];
  if (typeof value !== "number") throw new TypeError(`Cannot use the settings as "${name}" is no number`);
  return value;
}
