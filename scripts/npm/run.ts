import { basename } from "node:path";

/**
 * Runs a program in a directory, and returns its standard output.
 *
 * @throws {Error} With all that it printed, if it fails.
 */
export async function run(program: string, args: readonly string[], cwd: string): Promise<string> {
  const command = new Deno.Command(program, {
    args: [...args],
    cwd,
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
  const { success, stdout, stderr } = await command.output();
  const text = new TextDecoder().decode(stdout);
  if (success) return text;
  throw new Error(`Cannot run ${basename(program)} ${args.join(" ")}:\n${text}${new TextDecoder().decode(stderr)}`);
}
