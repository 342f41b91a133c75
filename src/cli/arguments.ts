import { parseArgs } from "@std/cli/parse-args";
import { type Duration, toSeconds } from "../duration.ts";
import { FireflyError } from "../errors.ts";
import { didYouMean } from "../suggest.ts";

/** The command line was not understood: exit code 2, and a hint at the help. */
export class UsageError extends FireflyError {
  override name = "UsageError";
  /** The command whose help would have told; undefined if there is none. */
  readonly command: string | undefined;

  constructor(message: string, { command, ...options }: ErrorOptions & { command?: string } = {}) {
    super(message, options);
    this.command = command;
  }
}

/** A flag, by its name without hyphens in a table of flags. */
export interface Flag {
  /** What the help calls its value. A flag without one is on or off. */
  readonly value?: string;
  /** It may be given several times; `commas` lets one value hold several, too. */
  readonly list?: "commas" | "repeat";
  /** What it does, for the help. */
  readonly description: string;
}

/** Flags by name. */
export type Flags = Readonly<Record<string, Flag>>;

const SHORT: Readonly<Record<string, string>> = { h: "help" };
/** Values that begin with a hyphen and are no flags. */
const NEGATIVE = /^-\d/;

/** The arguments of one command, read by the type that each must have. Every reader throws a {@linkcode UsageError}. */
export class Arguments {
  /** What was given beside the flags. */
  readonly positionals: readonly string[];
  readonly #command: string;
  readonly #flags: Flags;
  readonly #values: Readonly<Record<string, unknown>>;

  /** Parses `args` by `flags`. */
  constructor(command: string, args: readonly string[], flags: Flags) {
    const names = Object.keys(flags);
    const { _: positionals, ...values } = parseArgs(withJoinedNumbers(command, args, flags), {
      boolean: names.filter((name) => flags[name]!.value === undefined),
      string: ["_", ...names.filter((name) => flags[name]!.value !== undefined)],
      collect: names.filter((name) => flags[name]!.list),
      alias: SHORT,
      unknown(argument, key) {
        if (key !== undefined) throw unknownFlag(command, argument, flags);
      },
    });
    this.#command = command;
    this.#flags = flags;
    this.#values = values;
    this.positionals = positionals.map(String);
    for (const [name, { value }] of Object.entries(flags)) {
      const isMissing = [values[name]].flat().includes("");
      if (value && isMissing) throw usageError(command, `flag "--${name}" needs a value: --${name} <${value}>`);
    }
  }

  /** Whether the flag is on. */
  isOn(name: string): boolean {
    return this.#values[name] === true;
  }

  /** The value as it was given. */
  text(name: string): string | undefined {
    return this.#values[name] as string | undefined;
  }

  /** All values of a flag that may be given several times; undefined if it was not given. */
  list(name: string): string[] | undefined {
    const given = this.#values[name] as string[] | undefined;
    if (!given?.length) return undefined;
    return this.#flags[name]!.list === "commas" ? given.flatMap(splitList) : given;
  }

  /** An integer of at least `least`. */
  integer(name: string, least: number): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const number = Number(text);
    if (/^-?\d+$/.test(text) && Number.isSafeInteger(number) && number >= least) return number;
    const bound = least === -Infinity ? "an integer" : `an integer of at least ${least}`;
    throw this.#wrong(name, `must be ${bound}`);
  }

  /** Seconds, or text with a unit. */
  duration(name: string): Duration | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const duration = (/^\d+(\.\d+)?$/.test(text) ? Number(text) : text) as Duration;
    try {
      toSeconds(duration, name);
      return duration;
    } catch {
      throw this.#wrong(name, `must be a number of seconds, or one with a unit such as 500ms, 30s, 5m, 2h or 7d`);
    }
  }

  /** A time as ISO 8601 has it. */
  date(name: string): Date | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const date = new Date(text);
    if (!Number.isNaN(date.getTime()) && /^\d{4}-/.test(text)) return date;
    throw this.#wrong(name, "must be a time such as 2026-12-24T18:30Z");
  }

  /** One of `choices`, or several of them in a flag that may be given several times. */
  choices<T extends string>(name: string, choices: readonly T[]): T[] | undefined {
    const given = this.list(name) as T[] | undefined;
    const wrong = given?.find((choice) => !choices.includes(choice));
    if (wrong === undefined) return given;
    const hint = didYouMean(wrong, choices) || `: there are ${choices.join(", ")}`;
    throw usageError(this.#command, `"--${name}" cannot be "${wrong}"${hint}`);
  }

  /** Ids of tasks among the positionals. */
  ids(): number[] {
    return this.positionals.flatMap(splitList).map((text) => {
      const id = Number(text);
      if (/^\d+$/.test(text) && Number.isSafeInteger(id)) return id;
      throw usageError(this.#command, `"${text}" is not the id of a task`);
    });
  }

  #wrong(name: string, what: string): UsageError {
    return usageError(this.#command, `"--${name}" ${what}: current value is "${this.text(name)}"`);
  }
}

/** The options that were given: those that are undefined are left out. */
export function given<T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never;
}

/** An error about how `command` was called. */
export function usageError(command: string, why: string): UsageError {
  return new UsageError(`Cannot run "${command}" as ${why}`, { command });
}

/** Runs `check`: that it refuses options is the fault of whoever gave them. */
export function asUsage<T>(check: () => T): T {
  try {
    return check();
  } catch (error) {
    if (error instanceof TypeError || error instanceof RangeError) {
      throw new UsageError(error.message, { cause: error });
    }
    throw error;
  }
}

/** The place of the command among `args`: the first that is neither a flag nor the value of one; -1 if there is none. */
export function commandIndex(args: readonly string[], flags: Flags): number {
  for (let i = 0; i < args.length; i++) {
    const argument = args[i]!;
    if (!argument.startsWith("-")) return i;
    if (takesNext(argument, flags)) i++;
  }
  return -1;
}

function takesNext(argument: string, flags: Flags): boolean {
  const name = argument.slice(2);
  return argument.startsWith("--") && Object.hasOwn(flags, name) && flags[name]!.value !== undefined;
}

/** Joins `--priority -5` to `--priority=-5`, which the parser would take for two flags. */
function withJoinedNumbers(command: string, args: readonly string[], flags: Flags): string[] {
  const joined: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const [argument, next] = [args[i]!, args[i + 1]];
    if (argument === "--") return [...joined, ...args.slice(i)];
    const [, name] = /^--([^=]+)=/.exec(argument) ?? [];
    if (name !== undefined && Object.hasOwn(flags, name) && flags[name]!.value === undefined) {
      throw usageError(command, `flag "--${name}" takes no value`);
    }
    if (takesNext(argument, flags) && next !== undefined && NEGATIVE.test(next)) {
      joined.push(`${argument}=${next}`);
      i++;
    } else joined.push(argument);
  }
  return joined;
}

function unknownFlag(command: string, argument: string, flags: Flags): UsageError {
  const flag = argument.replace(/=.*/s, "");
  const known = Object.keys(flags).map((name) => `--${name}`);
  return usageError(command, `there is no flag "${flag}"${didYouMean(flag, known)}`);
}

function splitList(text: string): string[] {
  return text.split(",").map((part) => part.trim()).filter((part) => part !== "");
}
