import type { Program } from "./programs.ts";
import type { Runtime } from "./runtimes.ts";

/** What a program did on a runtime. */
export interface Outcome {
  readonly program: Program;
  readonly runtime: Runtime;
  readonly libraries: readonly string[];
  /** The checks by their names, in order: whether they passed. */
  readonly checks: ReadonlyMap<string, boolean>;
  /** Why it failed, if it did. */
  readonly failure?: string;
  readonly seconds: number;
  readonly output: string;
}

/** How long a program that was told to end may take, in milliseconds. */
const GRACE = 2_000;

/** Runs a program to its end, or to its time. */
export async function runProgram(
  program: Program,
  { runtime, directory, env }: { runtime: Runtime; directory: string; env: Record<string, string> },
): Promise<Outcome> {
  const started = performance.now();
  const [command, ...args] = runtime.command;
  const child = new Deno.Command(command!, {
    args: [...args, `${program.area}/${program.name}.ts`],
    cwd: directory,
    env,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    detached: true, // a process group, so that nothing of it is left over
  }).spawn();
  let isLate = false;
  const end = (signal: Deno.Signal) => {
    isLate = true;
    killGroup(child.pid, signal);
  };
  const timers = [setTimeout(end, program.timeout, "SIGTERM"), setTimeout(end, program.timeout + GRACE, "SIGKILL")];
  const ended = child.status.finally(() => killGroup(child.pid, "SIGKILL")); // what it started may hold its output open
  const [stdout, stderr, { code, signal }] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    ended,
  ]);
  for (const timer of timers) clearTimeout(timer);
  const { libraries, checks } = readReport(stdout);
  const failed = [...checks].filter(([, passed]) => !passed).map(([name]) => name);
  const failure = isLate
    ? `did not end within ${program.timeout / 1000} s`
    : failed.length > 0
    ? `failed: ${failed.join(", ")}`
    : code !== 0
    ? `ended with ${signal ?? `exit code ${code}`}`
    : checks.size === 0
    ? "ran no check"
    : undefined;
  const seconds = (performance.now() - started) / 1000;
  const output = [stdout, stderr].map((text) => text.trimEnd()).filter(Boolean).join("\n");
  return { program, runtime, libraries, checks, seconds, output, ...failure !== undefined && { failure } };
}

/** Signals the processes of a group that have not ended. */
function killGroup(group: number, signal: Deno.Signal): void {
  try {
    Deno.kill(-group, signal);
  } catch { /* all have ended */ }
}

/** Reads the lines that `check()` and `library()` printed; a program may print others. */
function readReport(stdout: string): { libraries: string[]; checks: Map<string, boolean> } {
  const libraries: string[] = [];
  const checks = new Map<string, boolean>();
  for (const line of stdout.split("\n").filter((line) => line.startsWith("{"))) {
    try {
      const report = JSON.parse(line);
      if (typeof report.check === "string") checks.set(report.check, report.ok === true);
      if (typeof report.library === "string") libraries.push(`${report.library} ${report.version}`);
    } catch { /* a line that only looks like a report */ }
  }
  return { libraries, checks };
}
