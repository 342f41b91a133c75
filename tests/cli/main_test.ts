import { assert, assertEquals, assertMatch, assertNotMatch, assertStringIncludes } from "@std/assert";
import { VERSION } from "../../src/version.ts";
import { testDatabase } from "../support/database.ts";
import { commandLine, testProject } from "../support/project.ts";

const COMMANDS = [
  "consume",
  "migrate",
  "schedule",
  "list",
  "show",
  "retry",
  "cancel",
  "delete",
  "prune",
  "queues",
  "pause",
  "resume",
  "tasks",
  "db",
  "stats",
];
const ALIASES = {
  consume_tasks: "consume",
  delete_completed_tasks: "delete",
  delete_failed_tasks: "delete",
  mark_failed_tasks_consumable: "retry",
};

Deno.test("main() prints the version", async () => {
  await using project = await testProject();

  for (const argument of ["--version", "version"]) {
    assertEquals(await project.run(argument), { code: 0, stdout: `${VERSION}\n`, stderr: "" });
  }
});

for (const args of [["help"], ["--help"], ["-h"]]) {
  Deno.test(`main() lists all commands on ${args}`, async () => {
    await using project = await testProject();

    const { code, stdout, stderr } = await project.run(...args);

    assertEquals([code, stderr], [0, ""]);
    for (const command of COMMANDS) assertMatch(stdout, new RegExp(`^  ${command} `, "m"));
    for (const alias of Object.keys(ALIASES)) assertNotMatch(stdout, new RegExp(alias), "the help hides it");
  });
}

for (const command of COMMANDS) {
  Deno.test(`main() shows the same help of ${command} by both ways`, async () => {
    await using project = await testProject();

    const [help, flag] = await Promise.all([project.run("help", command), project.run(command, "--help")]);

    assertEquals(help, flag);
    assertEquals([help.code, help.stderr], [0, ""]);
    assertMatch(help.stdout, new RegExp(`^Usage: firefly ${command}\\b`));
    for (const line of help.stdout.split("\n")) assert(line.length <= 100, line);
  });
}

for (const [alias, command] of Object.entries(ALIASES)) {
  Deno.test(`main() takes ${alias} for ${command}`, async () => {
    await using project = await testProject();

    assertMatch((await project.run("help", alias)).stdout, new RegExp(`^Usage: firefly ${command}\\b`));
    assertMatch((await project.run(alias, "--help")).stdout, new RegExp(`^Usage: firefly ${command}\\b`));
  });
}

const misused: Record<string, [args: string[], message: string]> = {
  "no command": [[], "Cannot run without a command"],
  "an unknown command": [["lisst"], 'there is no such command, did you mean "list"?'],
  "help of an unknown command": [["help", "consum"], 'did you mean "consume"?'],
  "an unknown flag": [["list", "--stats", "failed"], 'there is no flag "--stats", did you mean "--status"?'],
  "an unknown flag with a value": [["list", "--limt=3"], 'there is no flag "--limt", did you mean "--limit"?'],
  "an unknown short flag": [["list", "-x"], 'there is no flag "-x"'],
  "a flag of another command": [["list", "--drain"], 'there is no flag "--drain"'],
  "an unknown flag alone": [["--versoin"], 'there is no flag "--versoin", did you mean "--version"?'],
  "a flag without its value": [["list", "--status"], 'flag "--status" needs a value: --status <status>'],
  "a flag whose value is a flag": [["list", "--status", "--json"], 'flag "--status" needs a value'],
  "a value for a flag without": [["consume", "--drain=no"], 'flag "--drain" takes no value'],
  "a flag named as a property of objects": [["list", "--constructor"], 'there is no flag "--constructor"'],
  "a command of another program": [["enqueue"], 'there is no such command, did you mean "schedule"?'],
  "a command that is far from all": [["frobnicate"], 'there is no such command: "firefly help" lists all commands'],
  "completions for a shell that has none": [
    ["completions", "fisch"],
    'there are none for "fisch", did you mean "fish"?',
  ],
  "an unknown action of consumers": [["consumers", "list"], '"list" is no action: it must be set'],
  "consumers set without a number": [["consumers", "set", "a"], "set needs --concurrency <number>"],
  "a size that is none": [["consume", "--max-memory", "much"], '"--max-memory" must be a size such as 512MB'],
  "an interval that is too short": [["top", "--interval", "1ms"], '"--interval" must be at least 100ms'],
  "--watch of a command without it": [["list", "--watch"], '"watch firefly list --table" repeats a command'],
  "--since, which has two meanings": [["list", "--since", "1h"], '"--created-since" and "--ended-since"'],
  "a short flag of another command": [["list", "-p", "3"], 'there is no flag "-p": the short ones are -h, -q'],
  "both formats": [["list", "--json", "--table"], "--json and --table exclude each other"],
  "a time that is none": [["list", "--ended-since", "soon"], '"--ended-since" must be a time such as'],
  "JSON that is none": [["list", "--params", "{id: 7}"], '"--params" is not valid JSON'],
  "a grouping that there is not": [["list", "--group", "errors"], 'did you mean "error"?'],
  "two ways to say how long ago": [["list", "--older-than", "1h", "--ended-until", "1h"], "exclude each other"],
  "a surplus argument of version": [["version", "1"], '"1" is one argument too many'],
  "a surplus argument": [["consume", "mail"], '"mail" is one argument too many'],
  "a missing argument": [["show"], "an argument is missing, usage: firefly show <id>"],
  "an invalid id": [["show", "12x"], '"12x" is not a task id'],
  "an invalid status": [["list", "--status", "failure"], 'did you mean "failed"?'],
  "an invalid number": [["list", "--limit", "many"], '"--limit" must be an integer of at least 1'],
  "a number below the least": [["list", "--limit", "-5"], 'current value is "-5"'],
  "an invalid duration": [["consume", "--lease", "soon"], '"--lease" must be a number of seconds'],
  "an invalid database": [["list", "--database", "mysql://x"], "Cannot use the database URL"],
  "an invalid schema": [["list", "--schema", "a:b"], "Cannot use the schema"],
};

for (const [what, [args, message]] of Object.entries(misused)) {
  Deno.test(`main() refuses ${what} with exit code 2`, async () => {
    await using project = await testProject();

    const { code, stdout, stderr } = await project.run(...args);

    assertEquals([code, stdout], [2, ""]);
    assertStringIncludes(stderr, message);
    assert(stderr.startsWith("error: "), stderr);
    assert(stderr.split("\n").length <= 3, stderr);
  });
}

Deno.test("main() takes flags before the command", async () => {
  await using db = await testDatabase();
  await using project = await testProject();

  const { code, stderr } = await project.run("--database", db.url, "--status", "failed", "--quiet", "list");

  assertEquals([code, stderr], [0, ""]);
});

Deno.test("main() exits with 3 and one line when the database cannot be reached", async () => {
  await using project = await testProject({ database: "postgres://postgres@127.0.0.1:1/app" });

  for (const args of [["list"], ["show", "1"], ["retry", "--all"], ["delete", "1"], ["migrate"], ["schedule", "nap"]]) {
    const { code, stdout, stderr } = await project.run(...args);

    assertEquals([code, stdout], [3, ""]);
    assertMatch(stderr, /^error: Cannot reach the database at 127\.0\.0\.1:1\/app: .*\n$/);
  }
});

Deno.test("main() shows the stack of an error with --verbose only", async () => {
  await using project = await testProject({ database: "postgres://postgres@127.0.0.1:1/app" });

  assertNotMatch((await project.run("list")).stderr, /\n\s+at /);
  assertMatch((await project.run("list", "--verbose")).stderr, /\n\s+at /);
});

Deno.test("main() ends quietly when the reader of its output goes away", async () => {
  await using db = await testDatabase();
  await db.sql`SELECT firefly.schedule('unknown', jsonb_build_array(repeat('x', 10000))) FROM generate_series(1, 200)`;
  await using project = await testProject({ database: db.url });
  const script = `${commandLine("list", "--limit", "200").join(" ")} | head -c 100; echo " \${PIPESTATUS[0]}"`;
  const env = { FIREFLY_DATABASE_URL: db.url };
  const command = new Deno.Command("bash", { args: ["-c", script], cwd: project.directory, env });

  const { stdout, stderr } = await command.output();

  assertMatch(new TextDecoder().decode(stdout), /^\{"id":200,.* 0\n$/);
  assertEquals(new TextDecoder().decode(stderr), "");
});
