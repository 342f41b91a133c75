import { assertEquals, assertMatch } from "@std/assert";
import { join } from "node:path";
import { testDatabase } from "../support/database.ts";
import { commandLine, PACKAGE, scheduleIn, testProject } from "../support/project.ts";
import { until } from "../support/waiting.ts";
import { buildDist, installRuntime } from "../wire/runtimes.ts";

/** A way to run the command line, and how its modules import the package. */
interface Program {
  readonly command: readonly string[];
  readonly mod: string;
}

/** A module whose task returns `answer`, unless it is to wait until it is aborted. */
const answering = (answer: string, mod: string) => `
  import { current, task } from ${JSON.stringify(mod)};
  import { answer } from "./lib/answer.ts";

  export const ask = task({ name: "ask", retryDelay: 0 }, async (waits: boolean) => {
    if (waits && answer === "old") await new Promise(() => setInterval(() => {}, 1000));
    return answer + current().attempt + ${JSON.stringify(answer)};
  });
`;

/** Changes, breaks and mends the modules of a consumer that watches them. */
async function changeModules({ command, mod }: Program): Promise<void> {
  await using db = await testDatabase();
  const files = { "tasks.ts": answering("!", mod), "lib/answer.ts": `export const answer = "old";` };
  await using project = await testProject({ database: db.url, files, program: command });
  const write = (file: string, text: string) => Deno.writeTextFile(join(project.directory, file), text);
  const completed = async () => (await db.sql`SELECT FROM firefly.task WHERE status = 'completed'`).length;
  const id = await scheduleIn(db, "ask", [true]);
  await using consumer = project.start("consume", "--watch", "--verbose");
  await consumer.said(`"started"`);

  await write("notes.txt", "no code");
  await write("lib/answer.ts", `export const answer = "new";`);

  await until(async () => await completed() === 1);
  const [row] = await db.sql`
    SELECT firefly.decode(returned) AS returned,
      COALESCE(rescues, 0) AS rescues, COALESCE(jsonb_array_length(errors), 0) AS errors
    FROM firefly.task WHERE id = ${id}
  `;
  assertEquals({ ...row }, { returned: "new1!", rescues: 0, errors: 0 });
  assertMatch(await consumer.said(`"changed"`), /lib\/answer\.ts/);

  await write("tasks.ts", `export const broken = ;`);
  const { level, message } = JSON.parse(await consumer.said("waiting for a change"));
  assertEquals([level, message], ["error", "The consumer ended with exit code 1: waiting for a change"]);
  await write("tasks.ts", answering("?", mod));
  await scheduleIn(db, "ask", [false]);
  await until(async () => await completed() === 2);

  // As an editor saves, and in a folder that was not there before.
  await Deno.mkdir(join(project.directory, "lib/more"));
  await write("lib/more/answer.ts", `export const answer = "newest";`);
  await write("lib/answer.ts.part", `export { answer } from "./more/answer.ts";`);
  await Deno.rename(join(project.directory, "lib/answer.ts.part"), join(project.directory, "lib/answer.ts"));
  await until(async () => {
    await scheduleIn(db, "ask", [false]);
    return (await db.sql`SELECT FROM firefly.task WHERE firefly.decode(returned) = '"newest1?"'`).length > 0;
  });
  consumer.kill("SIGTERM");
  const { code } = await consumer.ended();
  assertEquals([code, (await db.sql`SELECT FROM firefly.consumer`).length], [0, 0]);
}

Deno.test("consume --watch starts again when a module changes, and hands running tasks back uncounted", async () => {
  await changeModules({ command: commandLine(), mod: PACKAGE });
});

for (const runtime of ["Node 22", "Bun"]) {
  Deno.test(`consume --watch does so on ${runtime}, too`, async () => {
    const directory = await Deno.makeTempDir({ prefix: "firefly_watch_" });
    try {
      const dist = await buildDist(directory);
      const binary = await installRuntime(runtime, directory);
      await changeModules({ command: [binary, join(dist, "cli.js")], mod: join(dist, "mod.js") });
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  });
}
