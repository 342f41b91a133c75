/**
 * Runs a task of deno.json that runs tests, and the files that failed once more, one after another: what passes then is
 * flaky. `deno run -A scripts/retest.ts NOTES TASK [argument …]` appends a line to the file NOTES for each of these.
 *
 * @module
 */
import { EXIT } from "./program.ts";

const ROOT = new URL("../", import.meta.url).pathname;
/** The most failed files that run again: with more, it is hardly chance. */
const MOST = 10;
/** A line of the list: the name of a test, then its file, or that of the documentation whose example it is. */
const FAILED = /^(?:(.*) => )?(?:(\S*_test\.ts)|(\S+)#\d+-\d+\.\w+)(?::\d+:\d+| \(uncaught error\))$/;

/**
 * Which tests and examples of the documentation failed, by file, as `deno test` lists them at its end; undefined if it
 * lists none, or one that a file does not define itself.
 */
export function failedTests(output: string): Map<string, string[]> | undefined {
  const start = output.lastIndexOf("\n FAILURES \n\n");
  if (start < 0) return undefined; // the runner crashed, or a module cannot be loaded
  const files = new Map<string, string[]>();
  for (const line of output.slice(start).trimStart().split("\n").slice(2)) {
    if (line === "") break;
    const [, name = "uncaught error", file, documented] = FAILED.exec(line) ?? [];
    const path = file ?? documented;
    if (path === undefined) return undefined;
    files.set(path, [...files.get(path) ?? [], file === undefined ? "example" : name]);
  }
  return files;
}

/** Runs a task of deno.json, and prints what it prints; resolves to its exit code and its output. */
async function runTask(args: string[]): Promise<{ code: number; output: string }> {
  const options = { cwd: ROOT, env: { NO_COLOR: "1" }, stdin: "null", stdout: "piped" } as const;
  const child = new Deno.Command(Deno.execPath(), { args: ["task", ...args], ...options }).spawn();
  let output = "";
  const decoder = new TextDecoder();
  for await (const chunk of child.stdout) {
    output += decoder.decode(chunk, { stream: true });
    Deno.stdout.writeSync(chunk);
  }
  const { code } = await child.status;
  return { code, output };
}

/** Runs the task; resolves to the exit code. */
async function main([notes, ...args]: string[]): Promise<number> {
  if (notes === undefined || args.length === 0) {
    console.error("Usage: deno run -A scripts/retest.ts NOTES TASK [argument …]");
    return EXIT.usage;
  }
  const { code, output } = await runTask(args);
  if (code === EXIT.good) return code;
  const failed = failedTests(output);
  if (failed === undefined || failed.size > MOST) {
    console.log(`\n== nothing runs again: ${failed ? `${failed.size} files failed` : "which files failed is unknown"}`);
    return code;
  }
  for (const [file, names] of failed) {
    console.log(`\n== ${file} failed, and runs again alone`);
    if ((await runTask(["test:alone", "--doc", file])).code !== EXIT.good) return code;
    await Deno.writeTextFile(notes, `flaky: ${file} (${names.join("; ")})\n`, { append: true });
  }
  return EXIT.good;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
