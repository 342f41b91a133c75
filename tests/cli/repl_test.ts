import { assertEquals, assertStringIncludes } from "@std/assert";
import { testDatabase } from "../support/database.ts";
import { testProject } from "../support/project.ts";
import { hasTerminals, onTerminal } from "../support/terminal.ts";

Deno.test({
  name: "repl evaluates JavaScript with the instance and the tasks, and awaits promises",
  ignore: !hasTerminals,
  async fn() {
    await using db = await testDatabase();
    await using project = await testProject();
    const lines = [
      `tasks["math.add"](1, 3) * 10`,
      `const row = await flaky.schedule()`,
      `row.id + 40`,
      `(await firefly.tasks.get(row.id)).funcName + "!"`,
      `firefly.tasks.get(99)`,
      `.exit`,
    ];

    const { code, shown, isSane } = await onTerminal(project, ["repl"], {
      database: db.url,
      env: { NO_COLOR: "1" },
      input: lines.map((line) => `${line}\r`).join(""),
      prompt: "firefly> ",
    });

    assertEquals([code, isSane], [0, true]);
    assertStringIncludes(shown, "tasks: math.add, fail, flaky, nap");
    for (const answer of ["\n40\n", "\n41\n", "\n'flaky!'\n", "TaskNotFound"]) assertStringIncludes(shown, answer);
    assertEquals((await db.sql`SELECT func_name FROM firefly.task`).map((row) => row.func_name), ["flaky"]);
  },
});
