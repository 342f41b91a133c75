import { toSeconds } from "../duration.ts";
import { didYouMean } from "../suggest.ts";
import type { TaskConditions } from "../store/task_lists.ts";
import { WAIT_KINDS, type WaitedFor } from "../store/waits.ts";
import { CREATED_STATES, TASK_STATES, type TaskState } from "../task/record.ts";
import { formatToken, type Token, TOKEN_KEYS } from "./filter.ts";

/** A token that the dashboard does not apply, and why. */
export interface Problem {
  readonly token: Token;
  readonly message: string;
}

/** What a filter asks for. */
export interface TaskQuery {
  /** The states that tasks may have; null for any. */
  readonly states: readonly TaskState[] | null;
  /** The other conditions. */
  readonly conditions: TaskConditions;
  /** The tokens that it leaves out. */
  readonly problems: readonly Problem[];
}

/** The words of `status:` and `place:`, and the states that they stand for: those of the API and the pages' own. */
const STATES: Readonly<Record<string, readonly TaskState[]>> = {
  ...Object.fromEntries(TASK_STATES.map((state) => [state, [state]])),
  // Without "unplaced", which a walk over all records would have to look for: consumers put these back.
  created: CREATED_STATES.filter((state) => state !== "unplaced"),
  due: ["ready"],
  time: ["delayed", "retrying"],
  limit: ["limited"],
  waiting: ["delayed", "retrying", "limited", "dependent", "suspended", "unknown"],
};
const DAY = 86_400_000;
/** The most ids of a filter. */
const MAX_IDS = 1000;

/** Reads the tokens of a filter; `now` is the database's time, from which `from:10m` counts. */
export function readQuery(tokens: readonly Token[], now: Date): TaskQuery {
  const query = new Reader(now);
  for (const token of tokens) query.read(token);
  return { states: query.states, conditions: query.conditions, problems: query.problems };
}

/** The conditions while they are read. */
type Draft = { -readonly [K in keyof TaskConditions]: TaskConditions[K] };

class Reader {
  states: readonly TaskState[] | null = null;
  readonly conditions: Draft = {};
  readonly problems: Problem[] = [];
  readonly #now: Date;

  constructor(now: Date) {
    this.#now = now;
  }

  /** Adds what a token asks for, or the reason why it is left out. */
  read(token: Token): void {
    try {
      this.#add(token);
    } catch (error) {
      if (!(error instanceof ReadError)) throw error;
      this.problems.push({ token, message: error.message });
    }
  }

  #add(token: Token): void {
    const { key, values, not } = token;
    switch (key) {
      case "status":
      case "place":
        return this.#addStates(token);
      case "queue":
        return this.#addWords(not ? "notQueues" : "queues", values);
      case "name":
        return this.#addWords(not ? "notNames" : "names", values);
      case "tag":
        return this.#addTags(token);
      case "id":
        return this.#addIds(token);
      case "from":
      case "to":
        return this.#addTime(token);
      case "error":
        return this.#addTexts(not ? "notErrors" : "errors", values);
      case "args":
        if (not) throw new ReadError("“-” is not possible here");
        return this.#addTexts("args", values);
      case "waits":
        if (not) throw new ReadError("“-” is not possible here");
        this.conditions.waits = [...this.conditions.waits ?? [], values.map(readWait)];
        return;
      case "consumer":
        if (not) throw new ReadError("“-” is not possible here");
        return this.#addWords("consumers", values);
      default:
        throw new ReadError(`there is no “${key || "…"}:”${didYouMean(key, TOKEN_KEYS)}`);
    }
  }

  #addStates({ key, values, not }: Token): void {
    const named = values.flatMap((word) => {
      const states = Object.hasOwn(STATES, word) ? STATES[word] : undefined;
      if (!states) throw new ReadError(`there is no ${key} “${word}”${didYouMean(word, Object.keys(STATES))}`);
      return states;
    });
    if (not && values.includes("created")) named.push("unplaced");
    const wanted = not ? TASK_STATES.filter((state) => !named.includes(state)) : named;
    this.states = TASK_STATES.filter((state) => wanted.includes(state) && (this.states?.includes(state) ?? true));
  }

  /** Adds words: of two tokens with one key, both must hold; of tokens with “-”, none may. */
  #addWords(list: "queues" | "notQueues" | "names" | "notNames" | "consumers", values: readonly string[]): void {
    const before = this.conditions[list];
    const isUnion = list === "notQueues" || list === "notNames";
    this.conditions[list] = !before
      ? [...values]
      : isUnion
      ? [...before, ...values]
      : before.filter((word) => values.includes(word));
  }

  #addTags({ values, not }: Token): void {
    if (not) this.conditions.notTags = [...this.conditions.notTags ?? [], ...values];
    else this.conditions.tags = [...this.conditions.tags ?? [], [...values]];
  }

  #addTexts(list: "errors" | "notErrors" | "args", values: readonly string[]): void {
    this.conditions[list] = [...this.conditions[list] ?? [], [...values]];
  }

  #addIds({ values, not }: Token): void {
    const ids = values.map((value) => {
      const id = /^#?\d{1,16}$/.test(value) ? Number(value.replace("#", "")) : NaN;
      if (!Number.isSafeInteger(id)) throw new ReadError(`“${value}” is no id`);
      return id;
    });
    if (ids.length > MAX_IDS) throw new ReadError(`it may have ${MAX_IDS} ids at most`);
    const before = this.conditions.ids;
    if (not) this.conditions.notIds = [...this.conditions.notIds ?? [], ...ids];
    else this.conditions.ids = before ? before.filter((id) => ids.includes(id)) : ids;
  }

  #addTime({ key, values, not }: Token): void {
    if (not || values.length > 1) throw new ReadError("it takes one time, without “-”");
    const time = readTime(values[0]!, this.#now);
    if (!time) {
      throw new ReadError(`“${values[0]}” is no time: write 10m, 7d, 13:42, 2026-11-29 or 2026-11-29T13:42, in UTC`);
    }
    const { from, to } = this.conditions;
    if (key === "from") this.conditions.from = from && from > time ? from : time;
    else this.conditions.to = to && to < time ? to : time;
  }
}

/** Reads what suspended tasks wait for: a kind, or a kind and a name after a colon. */
function readWait(text: string): WaitedFor {
  const [, word, name] = /^([^:]*)(?::([^]*))?$/.exec(text)!;
  const kind = WAIT_KINDS.find((kind) => kind === word);
  if (!kind) throw new ReadError(`no task waits for “${word}”${didYouMean(word!, WAIT_KINDS)}`);
  return { kind, name: name || null };
}

/** Why a token cannot be read. */
class ReadError extends Error {}

/** Reads a time in UTC: so long ago, a time of the day that was last, a date, or both. */
export function readTime(text: string, now: Date): Date | undefined {
  if (/^\d+(\.\d+)?(ms|s|m|h|d)$/.test(text)) {
    try {
      return new Date(now.getTime() - toSeconds(text as `${number}m`, "time") * 1000);
    } catch {
      return undefined;
    }
  }
  if (/^\d{1,2}:\d{2}(:\d{2})?$/.test(text)) {
    const today = toDate(
      `${now.toISOString().slice(0, 10)}T${
        text.padStart(text.length === 4 || text.length === 7 ? text.length + 1 : 0, "0")
      }Z`,
    );
    return today && today > now ? new Date(today.getTime() - DAY) : today;
  }
  if (!/^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:?\d{2})?)?$/.test(text)) return undefined;
  const time = text.replace(" ", "T");
  return toDate(time.length === 10 || /(Z|[+-]\d{2}:?\d{2})$/.test(time.slice(10)) ? time : `${time}Z`);
}

function toDate(text: string): Date | undefined {
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? undefined : date;
}

/** Describes the tokens that a query leaves out, a sentence each. */
export function problemsOf({ problems }: TaskQuery): string[] {
  return problems.map(({ token, message }) => `“${formatToken(token)}” is left out: ${message}`);
}
