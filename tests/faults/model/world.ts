import type { Tag } from "../../../src/database/driver.ts";
import type { Queryable } from "../../../src/sql.ts";
import type { Random } from "../../support/random.ts";
import type { Snapshot } from "./snapshot.ts";
import { type Consumer, type State, Time } from "./state.ts";

export const QUEUES = ["default", "mail", "slow.q"];
export const NAMES = ["a.one", "a.two", "a.three"];

/** What a step has to choose from, and to act on. */
export interface World {
  readonly random: Random;
  readonly state: State;
  /** The store's tag, on the one connection of the run. It sends at once, when a statement is built. */
  readonly sql: Tag;
  /** The same connection as a client of somebody else's. */
  readonly client: Queryable;
  /** Consumers whose row is gone, and who may not know it yet. */
  readonly removed: Consumer[];
}

/** One change of the database, and the same of the model. */
export interface Step {
  /** The function that changes something, as the documentation names it. */
  cause: string;
  /** What it is called with, for who reads the trace of a failure. */
  detail: string;
  /** Sends one statement. */
  send(): Promise<unknown>;
  /** Does to the model what the statement should have done, and checks what it returned. */
  apply(result: unknown, after: Snapshot): void;
  /** Ids of tasks that it deletes. */
  deletes?: number[];
  /** Ids of ended tasks that it makes `created` again. */
  retries?: number[];
}

/** Makes a step at random; undefined if there is nothing to do it with. */
export type Maker = (world: World) => Step | undefined;

/** A step, with its result typed. */
export function step<R>(
  cause: string,
  detail: unknown,
  send: () => Promise<R>,
  apply: (result: R, after: Snapshot) => void,
  licence: Pick<Step, "deletes" | "retries"> = {},
): Step {
  const text = typeof detail === "string" ? detail : JSON.stringify(detail, (_, value) => value ?? undefined);
  return { cause, detail: text, send, apply: apply as Step["apply"], ...licence };
}

/** A UUID that the seed determines. */
export function uuid(random: Random): string {
  const digits = Array.from({ length: 32 }, () => random.below(16).toString(16)).join("");
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** The id of a task that `accept` accepts, or now and then of any task. */
export function pickTask(world: World, accept: (id: number) => boolean): number | undefined {
  const { random, state } = world;
  const ids = [...state.tasks.keys()];
  const wanted = random.once(10) ? ids : ids.filter(accept);
  return wanted.length > 0 ? random.pick(wanted) : undefined;
}

/** A time before the run began, as a producer would write it: which of two is earlier depends on the seed alone. */
export function pastTime({ random, state }: World): { time: Time; text: string } {
  const time = new Time();
  time.at = state.origin + random.below(100_000) * 1_000_000;
  return { time, text: new Date(time.at / 1000).toISOString() };
}
