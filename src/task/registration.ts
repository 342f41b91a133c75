import { namesOf, type TaskDefinition } from "./definition.ts";
import { FireflyError } from "../errors.ts";
import { type Registered, registry } from "./scope.ts";

/** A stack, as `Error.captureStackTrace()` leaves it. */
export interface Trace {
  stack?: string;
}

/**
 * Adds a definition to the tasks of this process, and returns the definition that its task must use.
 *
 * A development server evaluates a changed module again. Its definitions then replace those of the same names: the
 * objects that consumers hold get the new handler and options, so that consumers run them from then on.
 *
 * @param trace The stack of the call of `task()`.
 * @throws {FireflyError} If another task has one of the names.
 */
export function register(definition: TaskDefinition, trace: Trace): TaskDefinition {
  const site = siteOf(trace);
  const names = namesOf(definition);
  for (const name of names) {
    const other = registry.get(name);
    if (other && !isReplaced(other, site)) {
      throw new FireflyError(
        `Cannot define task "${definition.name}" at ${site.site} as "${name}" is already a name of task "${other.definition.name}" at ${other.site}`,
      );
    }
  }
  for (const name of names) {
    const other = registry.get(name);
    const isReload = other && wasEvaluatedAgain(other, site);
    registry.set(name, { definition: isReload ? update(other.definition, definition) : definition, ...site });
  }
  return registry.get(definition.name)!.definition;
}

/** Where and when a task was defined. */
type Site = Omit<Registered, "definition">;

/** An object that stands for the code that runs until the next microtask. */
let turn: object | undefined;

function siteOf({ stack = "" }: Trace): Site {
  const frame = stack.split("\n").find((line) => /:\d+(:\d+)?\)?$/.test(line))?.trim() ?? "";
  const site = frame.replace(/^.*? \((.*)\)$/, "$1").replace(/^(?:.*?@|at (?:async )?)/, "") || "an unknown place";
  if (!turn) queueMicrotask(() => turn = undefined);
  turn ??= {};
  return { site, turn, isEvaluated: /^(?:at )?(?:async )?eval\b/.test(frame) };
}

/**
 * Whether a definition at `site` takes the place of another one: if it is at the same place, or if its file was evaluated
 * again after an edit. The same place may be reached twice without that, as in a function that defines a task.
 */
function isReplaced(other: Registered, site: Site): boolean {
  const [before, after] = [partsOf(other.site), partsOf(site.site)];
  if (wasEvaluatedAgain(other, site)) return true;
  return after.position !== undefined && before.file === after.file && before.position === after.position;
}

/**
 * A file that Next has built. It puts a module into several, for its routes and for `instrumentation.ts`, and evaluates it
 * once for each; while it develops, edits make further files.
 */
const CHUNK_OF_NEXT = /[\\/]\.next[\\/]|^webpack-internal:/;

/**
 * Whether the file of `other` was evaluated again, whatever the query by which it is imported. Two places in one file are
 * two tasks if runtimes evaluate its URL only once, as Deno and Node do. Other code may be evaluated again, but hardly in
 * the same turn, unless it is passed to `eval`.
 */
function wasEvaluatedAgain(other: Registered, site: Site): boolean {
  const [before, after] = [partsOf(other.site), partsOf(site.site)];
  if (before.file !== after.file) return CHUNK_OF_NEXT.test(before.file) && CHUNK_OF_NEXT.test(after.file);
  if (before.query !== after.query || site.isEvaluated) return true;
  return !/^[a-z]{2,}:/i.test(after.file) && other.turn !== site.turn;
}

function partsOf(site: string): { file: string; query: string | undefined; position: string | undefined } {
  const [, file = site, query, position] = /^(.*?)([?#].*?)?:(\d+(?::\d+)?)$/.exec(site) ?? [];
  return { file, query, position };
}

/** Makes a definition that consumers may hold the same as a new one, and returns it. */
function update(held: TaskDefinition, definition: TaskDefinition): TaskDefinition {
  for (const key of Object.keys(held) as (keyof TaskDefinition)[]) {
    if (!(key in definition)) delete (held as Partial<TaskDefinition>)[key];
  }
  return Object.assign(held, definition);
}
