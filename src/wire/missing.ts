import { FireflyFormatError } from "../errors.ts";
import { isCount, type JsonObject } from "./format.ts";

/** How a part of arguments is written that is the result of another task, by whether any end of that task will do. */
export function encodeMissing({ ordinal, settled }: { ordinal: number; settled: boolean }): JsonObject {
  return { $: settled ? "Settled" : "Result", v: ordinal };
}

/**
 * Stands in decoded arguments for the result of another task, which is stored with that task: the one that the task
 * depends on under this ordinal. It cannot be encoded.
 */
export class Missing {
  /** The place among the dependencies of the task, from 0. */
  readonly ordinal: number;
  /** Whether it is the outcome of that task, and not its result. */
  readonly settled: boolean;

  constructor(ordinal: number, settled: boolean) {
    this.ordinal = ordinal;
    this.settled = settled;
  }

  /** With a tag, structured cloning rejects an object. */
  get [Symbol.toStringTag](): string {
    return this.settled ? "Settled" : "Result";
  }

  /** Writes it as the SQL function `decode()` shows it. */
  toJSON(): JsonObject {
    return encodeMissing(this);
  }

  /** Controls the output of `console.log`. */
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return `[${this.settled ? "outcome" : "result"} of dependency ${this.ordinal}]`;
  }
}

/** Decoded arguments some of whose parts are results of other tasks. */
export class Incomplete {
  /** The arguments, with a {@linkcode Missing} in the place of each result. */
  readonly value: unknown;
  /** What is missing. */
  readonly parts: readonly Missing[];

  constructor(value: unknown, parts: readonly Missing[]) {
    this.value = value;
    this.parts = parts;
  }

  /**
   * Puts values in place of all that is missing, and returns the arguments.
   *
   * @throws {FireflyFormatError} If something is missing elsewhere than in the list of arguments, and in lists within it.
   */
  complete(valueOf: (missing: Missing) => unknown): unknown {
    const [seen, filled] = [new Set<unknown[]>(), new Set<Missing>()];
    const fill = (list: unknown[]) => {
      seen.add(list);
      for (const [index, part] of Object.entries(list)) {
        if (Array.isArray(part)) { if (!seen.has(part)) fill(part); }
        if (!(part instanceof Missing)) continue;
        filled.add(part);
        list[Number(index)] = valueOf(part);
      }
    };
    if (Array.isArray(this.value)) fill(this.value);
    if (filled.size === this.parts.length) return this.value;
    throw new FireflyFormatError("Cannot decode arguments as the result of a task is missing inside of one");
  }
}

/** Reads the field of a node for what is missing; undefined if it is malformed. */
export function readMissing({ $: tag, v: ordinal }: JsonObject): Missing | undefined {
  return isCount(ordinal) ? new Missing(ordinal, tag === "Settled") : undefined;
}
