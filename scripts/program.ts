/** What the programs here exit with. */
export const EXIT = { good: 0, bad: 1, usage: 2, interrupted: 130 } as const;

/** The command line was not understood. */
export class UsageError extends Error {}

/** A program with a command line. */
export interface Program<Options> {
  readonly help: string;
  /** Reads the command line; undefined if only help was asked for. */
  readOptions(args: string[]): Options | undefined;
  /** Does the work, and resolves to the exit code. */
  run(options: Options): Promise<number>;
}

/** Runs a program, or prints its help or why its command line was not understood; resolves to the exit code. */
export async function runProgram<Options>(program: Program<Options>, args: string[]): Promise<number> {
  let options: Options | undefined;
  try {
    options = program.readOptions(args);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(error.message);
    return EXIT.usage;
  }
  if (options) return await program.run(options);
  console.log(program.help);
  return EXIT.good;
}

/** Calls `onSignal` at SIGINT and SIGTERM until it is disposed of. */
export function onInterrupt(onSignal: () => void): Disposable {
  const signals = ["SIGINT", "SIGTERM"] as const;
  for (const signal of signals) Deno.addSignalListener(signal, onSignal);
  return {
    [Symbol.dispose]() {
      for (const signal of signals) Deno.removeSignalListener(signal, onSignal);
    },
  };
}
