import { dirname } from "node:path";
import type { TestDatabase } from "./database.ts";
import { deadline } from "./waiting.ts";

const ROOT = new URL("../../", import.meta.url);
const CLI = new URL("cli.ts", ROOT);
const DENO_CONFIG = new URL("deno.json", ROOT);

/** How to import the package from a project of a test. */
export const PACKAGE = new URL("mod.ts", ROOT).href;

/** The tasks that a project has, unless its test says otherwise. */
export const TASKS = `
  import { current, Fail, task } from ${JSON.stringify(PACKAGE)};

  export const add = task({ name: "math.add", maxRetries: 3, retryDelay: 10, aliases: ["app.add"] })(
    (i: number, j: number) => i + j,
  );
  export const fail = task("fail", (message: string) => { throw new TypeError(message); });
  export const flaky = task({ name: "flaky", maxRetries: 2, retryDelay: 0 }, () => {
    if (!current().lastAttempt) throw new Error("not yet");
    return "at last";
  });
  export const nap = task({ name: "nap", timeout: "5m" }, async (ms: number) => {
    current().log.info("naps", { ms });
    await new Promise((resolve) => setTimeout(resolve, ms));
    return ms;
  });
`;

/** A directory with modules, and the command line to run there. */
export interface Project extends AsyncDisposable {
  readonly directory: string;
  /** Runs the command line to its end. */
  run(...args: string[]): Promise<Result>;
  /** Starts the command line. */
  start(...args: string[]): Running;
}

/** How a process ended, and what it printed. */
export interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A process under way. Disposing it ends it. */
export interface Running extends AsyncDisposable {
  readonly process: Deno.ChildProcess;
  /** Waits for a line on stderr that holds `text`; resolves to it. */
  said(text: string): Promise<string>;
  /** Waits for a line on stdout that holds `text`; resolves to it. */
  printed(text: string): Promise<string>;
  kill(signal: Deno.Signal): void;
  /** Closes the pipe that stderr goes to. */
  stopReading(): void;
  /** Waits for its end. */
  ended(): Promise<Result>;
}

/** A database that cannot be reached, and with which no test gets to one by accident. */
const NOWHERE = "postgres://postgres@127.0.0.1:1/nowhere";

/** Makes a project of `files`, whose database is `database` unless its flags say otherwise. */
export async function testProject(
  { files = { "tasks.ts": TASKS }, database, env = {}, program = commandLine() }: {
    files?: Record<string, string>;
    database?: string;
    env?: Record<string, string>;
    /** The command that runs the command line. @default that of the sources, on Deno */
    program?: readonly string[];
  } = {},
): Promise<Project> {
  const directory = await Deno.realPath(await Deno.makeTempDir({ prefix: "firefly_cli_" }));
  for (const [path, text] of Object.entries(files)) {
    await Deno.mkdir(dirname(`${directory}/${path}`), { recursive: true });
    await Deno.writeTextFile(`${directory}/${path}`, text);
  }
  const environment = {
    ...Deno.env.toObject(),
    NO_COLOR: "1",
    FIREFLY_DATABASE_URL: database ?? NOWHERE,
    DATABASE_URL: "",
    PGHOST: "",
    ...env,
  };
  const start = (...args: string[]) => startProcess([...program, ...args], { cwd: directory, env: environment });
  return {
    directory,
    start,
    async run(...args) {
      await using running = start(...args);
      return await running.ended();
    },
    async [Symbol.asyncDispose]() {
      await Deno.remove(directory, { recursive: true });
    },
  };
}

/** The command that runs the command line, with `args`. */
export function commandLine(...args: string[]): string[] {
  return [Deno.execPath(), "run", "--quiet", "-A", "--config", DENO_CONFIG.pathname, CLI.pathname, ...args];
}

/** Parses output with a value of JSON on each line. */
// deno-lint-ignore no-explicit-any
export function jsonLines(text: string): any[] {
  return text.split("\n").filter(Boolean).map((line) => JSON.parse(line));
}

function startProcess(
  [command, ...rest]: string[],
  { cwd, env }: { cwd: string; env: Record<string, string> },
): Running {
  const options = { args: rest, cwd, env, clearEnv: true, stdin: "null", stdout: "piped", stderr: "piped" } as const;
  const process = new Deno.Command(command!, options).spawn();
  const stderr = collect(process.stderr);
  const stdout = collect(process.stdout);
  let hasEnded = false;
  const status = process.status.finally(() => hasEnded = true);
  const ended = Promise.all([status, stdout.end, stderr.end]);
  return {
    process,
    async said(text) {
      return await deadline(stderr.line(text), () => `no line with ${JSON.stringify(text)} in: ${stderr.text()}`);
    },
    async printed(text) {
      return await deadline(stdout.line(text), () => `no line with ${JSON.stringify(text)} in: ${stdout.text()}`);
    },
    kill: (signal) => process.kill(signal),
    stopReading: () => stderr.stop(),
    async ended() {
      const [{ code }] = await deadline(ended, () => `the process goes on: ${stderr.text()}`);
      return { code, stdout: stdout.text(), stderr: stderr.text() };
    },
    async [Symbol.asyncDispose]() {
      if (!hasEnded) process.kill("SIGKILL");
      await ended;
    },
  };
}

/** Reads a stream to its end, and tells of its lines. */
function collect(stream: ReadableStream<Uint8Array>) {
  let text = "";
  let changed = Promise.withResolvers<void>();
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  async function read(): Promise<void> {
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      text += part.value;
      changed.resolve();
      changed = Promise.withResolvers();
    }
    changed.resolve();
  }
  const end = read();
  let hasEnded = false;
  end.then(() => hasEnded = true);
  return {
    end,
    text: () => text,
    stop: () => void reader.cancel(),
    async line(part: string): Promise<string> {
      for (;;) {
        const line = text.split("\n").slice(0, -1).find((line) => line.includes(part));
        if (line !== undefined) return line;
        if (hasEnded) throw new Error(`The process ended without a line with ${JSON.stringify(part)}: ${text}`);
        await changed.promise;
      }
    },
  };
}

/** Schedules a task of a test's project. */
export async function scheduleIn(db: TestDatabase, name: string, params: unknown[] = []) {
  const [row] = await db.sql`SELECT firefly.schedule(${name}, ${db.sql.json(params as never)}) AS id`;
  return Number(row!.id);
}
