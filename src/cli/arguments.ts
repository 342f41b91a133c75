import process from "node:process";
import { parseArgs } from "@std/cli/parse-args";
import { type Duration, toSeconds } from "../duration.ts";
import { FireflyError } from "../errors.ts";
import { didYouMean } from "../suggest.ts";
import { type Environment, type Flag, type Flags, parseSwitch, shortForms, takesNext } from "./flags.ts";

/** The command line is invalid: exit code 2, with a hint at the command's help. */
export class UsageError extends FireflyError {
  override name = "UsageError";
  /** The command whose help to point to; undefined if there is none. */
  readonly command: string | undefined;

  constructor(message: string, { command, ...options }: ErrorOptions & { command?: string } = {}) {
    super(message, options);
    this.command = command;
  }
}

const MOMENT = "must be a time such as 2026-12-24T18:30Z, or how long ago, such as 10m, 2h or 7d";
/** Values that begin with a hyphen but are not flags. */
const NEGATIVE = /^-\d/;

/** The arguments of one command. The reader for each type throws {@linkcode UsageError} on a wrong value. */
export class Arguments {
  /** The arguments that are not flags. */
  readonly positionals: readonly string[];
  /** The name of the command, as it was given. */
  readonly command: string;
  readonly #flags: Flags;
  readonly #values: Record<string, unknown>;
  /** The variables that set flags, by the flag. */
  readonly #variables = new Map<string, string>();

  /** Parses `args` by `flags`. */
  constructor(command: string, args: readonly string[], flags: Flags, environment: Environment = process.env) {
    const names = Object.keys(flags);
    const { _: positionals, ...values } = parseArgs(withJoinedNumbers(command, args, flags), {
      boolean: names.filter((name) => flags[name]!.value === undefined),
      string: ["_", ...names.filter((name) => flags[name]!.value !== undefined)],
      collect: names.filter((name) => flags[name]!.list),
      alias: shortForms(flags),
      unknown(argument, key) {
        if (key !== undefined) throw unknownFlag(command, argument, flags);
      },
    });
    this.command = command;
    this.#flags = flags;
    this.#values = values;
    this.positionals = positionals.map(String);
    for (const [name, { value }] of Object.entries(flags)) {
      const isMissing = [this.#values[name]].flat().includes("");
      if (value && isMissing) throw usageError(command, `flag "--${name}" needs a value: --${name} <${value}>`);
    }
    for (const [name, flag] of Object.entries(flags)) this.#readVariable(name, flag, environment);
  }

  /** Takes the value of a flag that is not given from its variable. */
  #readVariable(name: string, { env, value, list }: Flag, environment: Environment): void {
    const text = env && environment[env]?.trim();
    if (!env || !text || this.isGiven(name)) return;
    const on = parseSwitch(text);
    if (value === undefined && on === undefined) {
      throw usageError(this.command, `${env} must be 1 or 0: current value is ${JSON.stringify(text)}`);
    }
    this.#variables.set(name, env);
    this.#values[name] = value === undefined ? on : list ? splitList(text) : text;
  }

  /** Whether the flag itself is on the command line. */
  isGiven(name: string): boolean {
    const value = this.#values[name];
    return !this.#variables.has(name) &&
      (Array.isArray(value) ? value.length > 0 : value !== undefined && value !== false);
  }

  /** Where the value of a flag comes from, as people read it; undefined if neither the flag nor its variable is set. */
  sourceOf(name: string): string | undefined {
    return this.#variables.get(name) ?? (this.isGiven(name) ? `--${name}` : undefined);
  }

  /** Whether the flag is on. */
  isOn(name: string): boolean {
    return this.#values[name] === true;
  }

  /** Whether a switch is on or off; undefined if neither the flag nor its variable is set. */
  switch(name: string): boolean | undefined {
    return this.isOn(name) || (this.#variables.has(name) ? false : undefined);
  }

  /** The flag's value as text. */
  text(name: string): string | undefined {
    return this.#values[name] as string | undefined;
  }

  /** All values of a list flag; undefined without the flag. */
  list(name: string): string[] | undefined {
    const given = this.#values[name] as string[] | undefined;
    if (!given?.length) return undefined;
    return this.#flags[name]!.list === "commas" ? given.flatMap(splitList) : given;
  }

  /** Parses an integer of at least `least`. */
  integer(name: string, least: number): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const number = Number(text);
    if (/^-?\d+$/.test(text) && Number.isSafeInteger(number) && number >= least) return number;
    const bound = least === -Infinity ? "an integer" : `an integer of at least ${least}`;
    throw this.#wrong(name, `must be ${bound}`);
  }

  /** Parses a number of seconds, or a number with a unit. */
  duration(name: string): Duration | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const duration = (/^\d+(\.\d+)?$/.test(text) ? Number(text) : text) as Duration;
    try {
      toSeconds(duration, name);
      return duration;
    } catch {
      throw this.#wrong(name, `must be a number of seconds, or a number with a unit such as 500ms, 30s, 5m, 2h or 7d`);
    }
  }

  /** Parses an ISO 8601 time. */
  date(name: string): Date | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const date = new Date(text);
    if (!Number.isNaN(date.getTime()) && /^\d{4}-/.test(text)) return date;
    throw this.#wrong(name, "must be a time such as 2026-12-24T18:30Z");
  }

  /** Parses an ISO 8601 time, or a duration: so long ago. */
  moment(name: string): Date | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const date = /^\d{4}-/.test(text) ? new Date(text) : new Date(Date.now() - this.#milliseconds(name, text));
    if (!Number.isNaN(date.getTime())) return date;
    throw this.#wrong(name, MOMENT);
  }

  #milliseconds(name: string, text: string): number {
    try {
      return toSeconds(text as Duration, name) * 1000;
    } catch {
      throw this.#wrong(name, MOMENT);
    }
  }

  /** Checks that a flag's value is one of `choices`. */
  choice<T extends string>(name: string, choices: readonly T[]): T | undefined {
    const text = this.text(name);
    return text === undefined ? undefined : this.#checkChoices(name, [text as T], choices)[0];
  }

  /** Checks that every value of a list flag is one of `choices`. */
  choices<T extends string>(name: string, choices: readonly T[]): T[] | undefined {
    const given = this.list(name);
    return given && this.#checkChoices(name, given as T[], choices);
  }

  #checkChoices<T extends string>(name: string, given: T[], choices: readonly T[]): T[] {
    const wrong = given.find((choice) => !choices.includes(choice));
    if (wrong === undefined) return given;
    const hint = didYouMean(wrong, choices) || `: it must be one of ${choices.join(", ")}`;
    throw usageError(this.command, `${this.#label(name)} cannot be "${wrong}"${hint}`);
  }

  /** Parses the positionals as task ids. */
  ids(): number[] {
    return this.positionals.flatMap(splitList).map((text) => {
      const id = Number(text);
      if (/^\d+$/.test(text) && Number.isSafeInteger(id)) return id;
      throw usageError(this.command, `"${text}" is not a task id`);
    });
  }

  #wrong(name: string, what: string): UsageError {
    return usageError(this.command, `${this.#label(name)} ${what}: current value is "${this.text(name)}"`);
  }

  #label(name: string): string {
    return this.#variables.get(name) ?? `"--${name}"`;
  }
}

/** Removes the members that are undefined. */
export function omitUndefined<T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never;
}

/** Creates an error about the usage of `command`. */
export function usageError(command: string, why: string): UsageError {
  return new UsageError(`Cannot run "${command}" as ${why}`, { command });
}

/** Runs `check` and turns a TypeError or RangeError into a {@linkcode UsageError}, as the user's flags caused it. */
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

/** Joins `--priority -5` to `--priority=-5`, as the parser would read the former as two flags. */
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

/** What helps in place of a flag that no command has. */
const ABSENT_FLAGS: Readonly<Record<string, string>> = {
  "--watch": '"watch firefly list --table" repeats a command; consume and stats have --watch',
  "--follow": '"firefly show <id> --follow" shows one task until it ends, and "firefly logs --follow" new log lines',
  "--waiting": '"--status" selects tasks by what they wait for: dependent, suspended, delayed, limited, unknown',
  "--since": '"--created-since" and "--ended-since" select tasks by time',
  "--until": '"--created-until" and "--ended-until" select tasks by time',
};

function unknownFlag(command: string, argument: string, flags: Flags): UsageError {
  const flag = argument.replace(/=.*/s, "");
  const known = Object.keys(flags).map((name) => `--${name}`);
  if (/^-[^-]/.test(flag)) {
    const short = Object.keys(shortForms(flags)).map((letter) => `-${letter}`).sort();
    return usageError(command, `there is no flag "${flag}": the short ones are ${short.join(", ")}`);
  }
  const absent = Object.hasOwn(ABSENT_FLAGS, flag) ? `. ${ABSENT_FLAGS[flag]}` : "";
  return usageError(command, `there is no flag "${flag}"${absent || didYouMean(flag, known)}`);
}

function splitList(text: string): string[] {
  return text.split(",").map((part) => part.trim()).filter((part) => part !== "");
}
