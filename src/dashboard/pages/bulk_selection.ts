import { readListed } from "../../store/task_lists.ts";
import { type NameSummary, summarize, summarizePlaced } from "../../store/task_lists_counts.ts";
import type { PageContext } from "../context.ts";
import type { TaskQuery } from "../task_query.ts";
import type { TaskState } from "../../task/record.ts";
import { type StatedPart, TaskSource } from "./tasks_sequence.ts";
import { reasonsOf } from "./tasks_source.ts";
import { mayShowMatch } from "./tasks_values.ts";

/** The most tasks that one click changes. */
export const MAX_TASKS = 100_000;
/** How many tasks to find at a time, and how many to look at closely. */
const [PART, CLOSE] = [10_000, 500];
/** How long counting may take, in milliseconds. */
const BUDGET = 2_000;

/** A part of the tasks that a query selects. */
export interface SelectedPart {
  readonly ids: readonly number[];
  /** Down to which id records were looked at, where the list goes by ids. */
  readonly down: number | null;
}

/** Finds the tasks that a query selects, part by part. */
export async function* selectTasks(
  context: PageContext,
  query: TaskQuery,
): AsyncGenerator<SelectedPart, void, undefined> {
  const source = new TaskSource(context.sql, query);
  for (let after: string | null = null;;) {
    const part = await source.read(after, PART);
    if (part.isExact) yield { ids: part.found.map(({ id }) => id), down: part.down };
    else {
      for (let at = 0; at < part.found.length; at += CLOSE) {
        const ids = await lookAt(context, query, { part, at });
        yield { ids, down: part.found.slice(at, at + CLOSE).at(-1)!.id };
      }
    }
    if (part.after === null) return;
    after = part.after;
  }
}

/** Returns those of the next tasks of a part that are in one of its states, and whose arguments may be searched. */
async function lookAt(
  context: PageContext,
  { conditions }: TaskQuery,
  { part: { found, states }, at }: { part: StatedPart; at: number },
): Promise<number[]> {
  const ids = found.slice(at, at + CLOSE).map(({ id }) => id);
  const kept: number[] = [];
  for (const row of await readListed(context.sql, ids)) {
    if (states && !states.includes(row.state)) continue;
    if (conditions.args && !await mayShowMatch(context, row, conditions.args)) continue;
    kept.push(Number(row.id));
  }
  return kept;
}

/** What a query selects. */
export interface Selection {
  readonly count: number;
  /** The largest id among them. */
  readonly last: number;
  readonly names: readonly NameSummary[];
  /** Down to which id records were looked at, if there may be more that were not counted. */
  readonly more: { readonly down: number | null } | null;
}

/** Counts the tasks that a query selects, as many as one click changes, within two seconds. */
export async function countSelected(context: PageContext, query: TaskQuery): Promise<Selection> {
  const placed = await countPlaced(context, query);
  // Of more than one click changes, the first ones must be looked at.
  if (!placed || sumOf(placed.names) > MAX_TASKS) return await countOneByOne(context, query, []);
  return await countOneByOne(context, { ...query, states: placed.others }, placed.names);
}

/** The conditions that the small tables can tell by themselves. */
const TOLD: readonly string[] = ["queues", "notQueues", "names", "notNames"];

/** Counts those of a query that are due or wait at once, where the small tables tell which they are. */
async function countPlaced(
  { sql }: PageContext,
  { states, conditions }: TaskQuery,
): Promise<{ names: readonly NameSummary[]; others: TaskState[] } | undefined> {
  if (!states || !Object.keys(conditions).every((each) => TOLD.includes(each))) return undefined;
  const has = (state: TaskState) => states.includes(state);
  if (has("delayed") !== has("retrying")) return undefined;
  const reasons = reasonsOf(states);
  const names = await summarizePlaced(sql, { ready: has("ready"), timed: has("delayed"), reasons, conditions });
  return { names, others: states.filter((state) => state !== "ready" && reasonsOf([state]).length === 0) };
}

function sumOf(names: readonly NameSummary[]): number {
  return names.reduce((sum, { count }) => sum + count, 0);
}

/** Counts the tasks that a query selects, in addition to those counted `before`. */
async function countOneByOne(
  context: PageContext,
  query: TaskQuery,
  before: readonly NameSummary[],
): Promise<Selection> {
  const names = new Map(before.map((each) => [each.name, each]));
  const end = performance.now() + BUDGET;
  let [count, last] = [sumOf(before), Math.max(0, ...before.map(({ last }) => last))];
  for await (const { ids, down } of selectTasks(context, query)) {
    const some = ids.slice(0, MAX_TASKS - count);
    if (some.length > 0) {
      for (const each of await summarize(context.sql, some)) {
        names.set(each.name, add(names.get(each.name), each));
        count += each.count;
        last = Math.max(last, each.last);
      }
    }
    const isMore = ids.length > some.length || performance.now() > end;
    if (isMore) return { count, last, names: sorted(names), more: { down } };
  }
  return { count, last, names: sorted(names), more: null };
}

function add(before: NameSummary | undefined, more: NameSummary): NameSummary {
  if (!before) return more;
  return {
    name: more.name,
    count: before.count + more.count,
    oldest: before.oldest < more.oldest ? before.oldest : more.oldest,
    newest: before.newest > more.newest ? before.newest : more.newest,
    last: Math.max(before.last, more.last),
  };
}

function sorted(names: ReadonlyMap<string, NameSummary>): NameSummary[] {
  return [...names.values()].sort((a, b) => b.count - a.count);
}
