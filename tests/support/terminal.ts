import { commandLine, type Project } from "./project.ts";

/** Gives a command a terminal; part of util-linux. */
const SCRIPT = "/usr/bin/script";

/** Whether {@linkcode onTerminal} works here. */
export const hasTerminals = Deno.build.os === "linux" && await Deno.stat(SCRIPT).then(() => true, () => false);

/** How to run a command on a terminal. */
export interface TerminalOptions {
  database: string;
  /** The keys to type. */
  input?: string;
  /** Types the keys when the terminal shows this text. @default at once */
  prompt?: string;
  env?: Record<string, string>;
  /** The width of the terminal. @default 120 */
  columns?: number;
  /** Its height. @default 40 */
  rows?: number;
}

/** Runs the command line on a terminal; resolves to what it shows, and whether it left lines and echo turned on. */
export async function onTerminal(
  { directory }: Project,
  args: string[],
  { database, input = "", prompt, env = {}, columns = 120, rows = 40 }: TerminalOptions,
): Promise<{ code: number; shown: string; isSane: boolean }> {
  const settings = await Deno.makeTempFile();
  const quoted = commandLine(...args).map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
  const command = `stty cols ${columns} rows ${rows}; ${quoted}; code=$?; stty -a > ${settings}; exit $code`;
  const process = new Deno.Command(SCRIPT, {
    args: ["--quiet", "--return", "--command", command, "/dev/null"],
    cwd: directory,
    env: { FIREFLY_DATABASE_URL: database, NO_COLOR: "", TERM: "xterm", ...env },
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const writer = process.stdin.getWriter();
  const type = () => writer.write(new TextEncoder().encode(input)).catch(() => {});
  if (prompt === undefined) await type();
  let shown = "";
  for await (const text of process.stdout.pipeThrough(new TextDecoderStream())) {
    const wasThere = prompt !== undefined && shown.includes(prompt);
    shown += text;
    if (prompt !== undefined && !wasThere && shown.includes(prompt)) await type();
  }
  const { code } = await process.status;
  await writer.close().catch(() => {});
  const modes = (await Deno.readTextFile(settings)).split(/[\s;]+/);
  await Deno.remove(settings);
  return { code, shown: shown.replaceAll("\r\n", "\n"), isSane: modes.includes("icanon") && modes.includes("echo") };
}
