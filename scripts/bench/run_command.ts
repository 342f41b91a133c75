/** Runs a program; resolves to what it wrote to stdout, and rejects with what it wrote to stderr if it failed. */
export async function runCommand(
  program: string,
  args: string[],
  { cwd, signal }: { cwd?: string; signal?: AbortSignal } = {},
): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, {
    args,
    ...(cwd === undefined ? {} : { cwd }),
    ...(signal === undefined ? {} : { signal }),
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  const [text, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes).trim()) as [string, string];
  if (!success) throw new Error(`${program} failed: ${errors || text}`);
  return text;
}
