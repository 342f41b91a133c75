import { assertEquals } from "@std/assert";
import { testDatabase } from "../support/database.ts";
import { runOn, RUNTIMES } from "../wire/runtimes.ts";

const PROGRAM = new URL("../support/exit_check.ts", import.meta.url);

/** Runs the program in a process of its own; gives what it prints to stderr. */
async function run(runtime: string, env: Record<string, string>): Promise<{ success: boolean; stderr: string }> {
  if (runtime !== "Deno") return await runOn(runtime, PROGRAM, env);
  const command = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", PROGRAM.href],
    env: { ...env, NO_COLOR: "1" },
    stderr: "piped",
  });
  const { success, stderr } = await command.output();
  return { success, stderr: new TextDecoder().decode(stderr) };
}

for (const runtime of ["Deno", ...RUNTIMES]) {
  Deno.test(`a program on ${runtime} ends once it waits for nothing, not before, closed or not`, async () => {
    await using db = await testDatabase();
    const env = { FIREFLY_TEST_DATABASE: db.url };

    assertEquals(await run(runtime, env), { success: true, stderr: "" });
    assertEquals(await run(runtime, { ...env, FIREFLY_TEST_EXIT: "closed" }), { success: true, stderr: "" });
  });
}
