import { AssertionError } from "node:assert";
import { inspect, isDeepStrictEqual } from "node:util";
import { type Duration, toMilliseconds } from "../duration.ts";
import { refuseUnknownKeys } from "../suggest.ts";
import type { TaskRecord, TaskState, TaskStatus } from "../task/record.ts";

/** What a scheduled task must be like; what is left out may be anything. */
export interface Expected<A extends unknown[] = unknown[]> {
  /** Its arguments, or a function that tells whether they are right. */
  args?: Readonly<A> | ((...args: A) => boolean);
  /** Its queue. */
  queue?: string;
  /** Labels that it has, beside others. */
  tags?: string[];
  /** Its priority. */
  priority?: number;
  /** How long after it was scheduled it is due, give or take a second: seconds, or text with a unit. */
  in?: Duration;
  /** When it is due, give or take a second. */
  at?: Date;
  /** Its status or state, or several that it may have. @default "created" */
  status?: TaskStatus | TaskState | (TaskStatus | TaskState)[];
  /** How many there must be. @default at least one */
  count?: number;
}

const KEYS = ["args", "queue", "tags", "priority", "in", "at", "status", "count"];
/** By how many milliseconds a time may differ. */
const TOLERANCE = 1000;
/** The most records that a message shows. */
const MOST_SHOWN = 10;

/** A property of a record that is not as expected. */
interface Difference {
  readonly name: string;
  readonly actual: unknown;
}

/** What tasks of one name must be like, and what they are. */
export class Expectation {
  readonly #name: string;
  readonly #expected: Expected<never>;

  /** @throws {TypeError} If a key of `expected` is unknown. */
  constructor(name: string, expected: Expected<never>, action: string) {
    refuseUnknownKeys(expected, KEYS, action);
    this.#name = name;
    this.#expected = expected;
  }

  /** Those of `records` that are as expected. */
  matching<R extends TaskRecord>(records: readonly R[]): R[] {
    return records.filter((record) => this.#differences(record).length === 0);
  }

  /** Checks that enough of `records` are as expected, and returns those. */
  assertSome<R extends TaskRecord>(records: readonly R[]): R[] {
    const found = this.matching(records);
    const { count } = this.#expected;
    if (count === undefined ? found.length > 0 : found.length === count) return found;
    const counted = count === undefined ? "none is" : `${found.length} instead of ${count} are`;
    throw this.#error(
      `Task "${this.#name}" was not scheduled as expected: of ${records.length} records ${counted} like`,
      records,
    );
  }

  /** Checks that none of `records` is as expected. */
  assertNone(records: readonly TaskRecord[]): void {
    const found = this.matching(records);
    if (found.length === 0) return;
    const are = found.length === 1 ? "1 record is" : `${found.length} records are`;
    throw this.#error(`Task "${this.#name}" was scheduled, as ${are} like`, found);
  }

  #error(what: string, records: readonly TaskRecord[]): AssertionError {
    const wanted = Object.entries({ status: "created", ...this.#expected }).filter(([name]) => name !== "count");
    const closest = records.map((record) => ({ record, differences: this.#differences(record) }))
      .sort((a, b) => a.differences.length - b.differences.length);
    const lines = [
      what,
      ...wanted.map(([name, value]) => `  ${name}: ${show(value)}`),
      ...(records.length > 0 ? ["They are:"] : []),
      ...closest.slice(0, MOST_SHOWN).map(({ record, differences }) => {
        const found = differences.length > 0 ? differences : [{ name: "args", actual: paramsOf(record) }];
        return `  id ${record.id}: ${found.map(({ name, actual }) => `${name}: ${show(actual)}`).join(", ")}`;
      }),
      ...(closest.length > MOST_SHOWN ? [`  and ${closest.length - MOST_SHOWN} more`] : []),
    ];
    const [first] = closest;
    const differing = first?.differences ?? [];
    return new AssertionError({
      message: lines.join("\n"),
      // The runner shows how these differ.
      actual: Object.fromEntries(differing.map(({ name, actual }) => [name, actual])),
      expected: Object.fromEntries(wanted.filter(([name]) => !first || differing.some((it) => it.name === name))),
      operator: "deepStrictEqual",
    });
  }

  #differences(record: TaskRecord): Difference[] {
    const { args, queue, tags, priority, in: delay, at, status = "created" } = this.#expected;
    const params = args === undefined ? undefined : paramsOf(record);
    const due = record.notBefore.getTime();
    const checks: [name: string, isRight: boolean, actual: unknown][] = [
      ["args", args === undefined || isRight(args, params), params],
      ["queue", queue === undefined || record.queue === queue, record.queue],
      ["tags", (tags ?? []).every((tag) => record.tags.includes(tag)), record.tags],
      ["priority", priority === undefined || record.priority === priority, record.priority],
      ["at", at === undefined || Math.abs(due - at.getTime()) <= TOLERANCE, record.notBefore],
      ["status", [status].flat().some((one) => one === record.status || one === record.state), record.state],
    ];
    if (delay !== undefined) {
      const actual = due - record.created.getTime();
      checks.push(["in", Math.abs(actual - toMilliseconds(delay, "in")) <= TOLERANCE, `${Math.round(actual / 1000)}s`]);
    }
    return checks.filter(([, isRight]) => !isRight).map(([name, , actual]) => ({ name, actual }));
  }
}

function isRight(args: unknown, params: unknown): boolean {
  if (typeof args === "function") return Array.isArray(params) && Boolean(args(...params));
  return isDeepStrictEqual(params, args);
}

/** The arguments of a record; the error, if they cannot be decoded. */
function paramsOf(record: TaskRecord): unknown {
  try {
    return record.params;
  } catch (error) {
    return error;
  }
}

function show(value: unknown): string {
  return typeof value === "function" ? "[a function]" : inspect(value, { depth: 6, breakLength: 100, compact: 3 });
}
