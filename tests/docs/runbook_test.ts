import { assert, assertEquals } from "@std/assert";
import { findCommands, parseCommandLine, shellLinesOf } from "../support/command_lines.ts";
import { testDatabase } from "../support/database.ts";
import { insertTask } from "../support/records.ts";
import { PACKAGE, testProject } from "../support/project.ts";

const DOCS = new URL("../../docs/", import.meta.url);
const MODULE = `
  import { task } from ${JSON.stringify(PACKAGE)};
  export const send = task({ name: "mail.send", queue: "mail" }, () => {});
`;
/** Runs each line that it is given as the command line does, in one process, as each start takes half a second. */
const DRIVER = `
  import { Arguments } from ${JSON.stringify(new URL("../../src/cli/arguments.ts", import.meta.url).href)};
  import { GLOBAL_FLAGS } from ${JSON.stringify(new URL("../../src/cli/command.ts", import.meta.url).href)};
  import { Terminal } from ${JSON.stringify(new URL("../../src/cli/terminal.ts", import.meta.url).href)};
  import { findCommands } from ${JSON.stringify(new URL("../support/command_lines.ts", import.meta.url).href)};
  const commands = await findCommands();
  const codes = [];
  for (const [name, ...rest] of JSON.parse(Deno.args[0])) {
    const command = commands.get(name);
    const args = new Arguments(name, rest, { ...command.flags, ...GLOBAL_FLAGS });
    const terminal = new Terminal({ json: true, table: false, verbosity: "normal" });
    const code = await command.run(args, terminal).catch((error) => error.message);
    codes.push([[name, ...rest].join(" "), code]);
  }
  console.error("codes " + JSON.stringify(codes));
  Deno.exit(0);
`;

Deno.test("each command of docs/runbook.md does something: it ends with 0, or is a consumer", async () => {
  const commands = await findCommands();
  const found = shellLinesOf(await Deno.readTextFile(new URL("runbook.md", DOCS))).map((words) => {
    const line = parseCommandLine(words, commands);
    assert(line, `It starts no command: ${words.join(" ")}`);
    return line;
  });
  assert(found.length > 25);
  // Each once: a start costs the most.
  const texts = new Set(found.filter(({ command }) => command.name !== "consume").map(({ words }) => words.join("\0")));
  const lines = [...texts].map((text) => text.split("\0"));

  // A database in which each of them finds something.
  await using db = await testDatabase();
  await insertTask(db, { queue: "mial" });
  for (const func_name of ["mail.send", "report.new"]) {
    for (let i = 0; i < 7; i++) await insertTask(db, { func_name, queue: "mail" });
  }
  const failed = await insertTask(db, { func_name: "mail.send" });
  await db.sql`DELETE FROM firefly.ready WHERE id = ${failed}`;
  await db.sql`UPDATE firefly.task SET status = 'failed', failed = now() WHERE id = ${failed}`;
  await db.sql`SELECT firefly._note_failure(task) FROM firefly.task WHERE id = ${failed}`;
  const retrying = await insertTask(db, { func_name: "mail.send", not_before: new Date(Date.now() + 3_600_000) });
  await db.sql`UPDATE firefly.task SET started = now(), retry_attempts = 1 WHERE id = ${retrying}`;
  await using project = await testProject({ files: { "tasks.ts": MODULE, "driver.ts": DRIVER }, database: db.url });
  const { stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--no-check",
      "--config",
      new URL("../../deno.json", import.meta.url).pathname,
      "driver.ts",
      JSON.stringify(lines),
    ],
    cwd: project.directory,
    env: { FIREFLY_DATABASE_URL: db.url, NO_COLOR: "1" },
  }).output();

  const output = new TextDecoder().decode(stderr);
  const [, codes] = /^codes (.*)$/m.exec(output) ?? [];
  assert(codes, output);
  // `doctor` reports with 6 that no consumer lives here.
  const wrong = JSON.parse(codes).filter(([line, code]: [string, unknown]) =>
    code !== 0 && !(line.startsWith("doctor") && code === 6)
  );
  assertEquals(wrong, [], output);
});
