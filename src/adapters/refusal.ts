import { describeClient } from "../database/client_kinds.ts";

/** What is wrong with an argument of an adapter. */
interface Misuse {
  /** The adapter's name. */
  readonly adapter: string;
  /** What it was given, in words; by default what the argument looks like. */
  readonly given?: string;
  /** What to pass in its place. */
  readonly instead: string;
}

/** Makes the error for an argument of an adapter that is no open transaction. */
export function refuseArgument(argument: unknown, { adapter, given, instead }: Misuse): TypeError {
  return new TypeError(
    `Cannot schedule through ${adapter}() as it was given ${given ?? describeClient(argument)}: pass ${instead}`,
  );
}

/** Whether an argument has all of these methods: callers without types may pass anything. */
export function hasMethods(argument: unknown, ...names: readonly string[]): boolean {
  if (typeof argument !== "object" && typeof argument !== "function" || argument === null) return false;
  return names.every((name) => typeof (argument as Record<string, unknown>)[name] === "function");
}
