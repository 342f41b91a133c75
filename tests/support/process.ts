const ROOT = new URL("../../", import.meta.url).pathname;

/** A command of Firefly in a process of its own, as a user starts it. */
export interface CliProcess extends AsyncDisposable {
  readonly pid: number;
  /** What it has written to stderr, line by line: a consumer's log. */
  readonly log: readonly string[];
  /** Sends a signal, unless it has ended. */
  kill(signal: Deno.Signal): void;
  /** Resolves to its exit code; 128 and the number of the signal that ended it. */
  readonly exited: Promise<number>;
}

/** Where and how a command is started. */
export interface CliOptions {
  cwd?: string;
  env?: Record<string, string>;
  /** Where `cli.ts` is. @default this repository */
  root?: string | undefined;
  /** Another program than `cli.ts`. */
  program?: string;
  /** A program and its arguments that start Deno, such as `faketime`. */
  wrapper?: string[];
}

/** Starts `cli.ts` with `args`; it is killed, if need be, at the end of the scope. */
export function startCli(
  args: string[],
  { cwd, env = {}, root = ROOT, program: file = `${root}/cli.ts`, wrapper = [] }: CliOptions = {},
): CliProcess {
  const deno = [Deno.execPath(), "run", "-A", "--no-check", "--config", `${root}/deno.json`, file];
  const [program, ...rest] = [...wrapper, ...deno, ...args];
  const child = new Deno.Command(program!, {
    args: rest,
    ...(cwd === undefined ? {} : { cwd }),
    env: { NO_COLOR: "1", ...env },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const log: string[] = [];
  const read = (async () => {
    let rest = "";
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      log.push(...lines);
    }
    if (rest) log.push(rest);
  })();
  let hasEnded = false;
  const status = child.status.finally(() => hasEnded = true);
  const exited = Promise.all([status, read]).then(([{ code }]) => code);
  return {
    pid: child.pid,
    log,
    exited,
    kill(signal) {
      if (!hasEnded) child.kill(signal);
    },
    async [Symbol.asyncDispose]() {
      if (!hasEnded) child.kill("SIGKILL");
      await exited;
    },
  };
}
