import { FireflyError, StepNotFound, TaskNotFound } from "../errors.ts";
import { forkTask, readForkPlaces } from "../store/fork.ts";
import type { ForkOptions } from "../task/record.ts";
import type { Tag } from "../database/driver.ts";
import { didYouMean, refuseUnknownKeys } from "../suggest.ts";

/** A step of a task, by name and key. */
interface StepPlace {
  readonly name: string;
  readonly key: string;
}

/**
 * Schedules a copy of a task that begins with the steps before `from`, or with all that have ended, and returns its id.
 *
 * @throws {TaskNotFound} If there is no such task.
 * @throws {StepNotFound} If it has no such step.
 * @throws {FireflyError} If a step before that was compensated.
 */
export async function forkById(sql: Tag, id: number, options: ForkOptions): Promise<number> {
  const from = toPlace(options, `fork task ${id}`);
  const forked = await forkTask(sql, id, from);
  if (forked.refused === null) return forked.id;
  if (forked.refused === "missing" || !from) throw new TaskNotFound(id);
  const { name, key } = from;
  if (forked.refused !== "compensated") {
    const hint = describeMissing(from, await readForkPlaces(sql, id));
    throw new StepNotFound(`Cannot fork task ${id} as it has no step "${name}"${hint}`, { id, step: name, key });
  }
  const { undone } = forked;
  const place = undone.key === "" ? `"${undone.name}"` : `"${undone.name}" with the key "${undone.key}"`;
  throw new FireflyError(
    `Cannot fork task ${id} from step "${name}" as its step ${place}, before that, was compensated: fork it from there`,
  );
}

/** What there is instead of a step, as the end of a sentence. */
function describeMissing({ name, key }: StepPlace, known: readonly StepPlace[]): string {
  const keys = known.filter((step) => step.name === name).map(({ key }) => key);
  if (keys.length > 0) return ` with the key "${key}"${didYouMean(key, keys) || `: its keys are ${listed(keys)}`}`;
  const names = [...new Set(known.map(({ name }) => name))];
  return didYouMean(name, names) || (names.length > 0 ? `: it has ${listed(names)}` : "");
}

/** The first few of some words, in quotes. */
function listed(words: readonly string[]): string {
  const first = words.slice(0, 10).map((word) => `"${word}"`).join(", ");
  return words.length > 10 ? `${first}, …` : first;
}

function toPlace({ from, ...rest }: ForkOptions, action: string): StepPlace | undefined {
  refuseUnknownKeys(rest, ["from"], action);
  if (from === undefined) return undefined;
  const { step, key = "" } = typeof from === "string" ? { step: from } : from ?? {};
  if (typeof step === "string" && step !== "" && typeof key === "string") return { name: step, key };
  throw new TypeError(`Cannot ${action} as "from" must be the name of a step, or { step, key }`);
}
