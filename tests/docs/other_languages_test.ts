import { assert, assertEquals } from "@std/assert";
import { Firefly, task } from "../../mod.ts";
import { testDatabase } from "../support/database.ts";

/** The programs of docs/other-languages.md run as they stand, where the machine has what they need. */

const page = await Deno.readTextFile(new URL("../../docs/other-languages.md", import.meta.url));
const welcome = task("mail.welcome", (mail: string) => `Welcome, ${mail}`);

/** The blocks of a section, in one language. */
function blocksOf(section: string, language: string): string[] {
  const text = page.split(`\n## ${section}\n`)[1]!.split("\n## ")[0]!;
  return Array.from(text.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, "gms")), ([, block]) => block!);
}

/** Runs a command, and returns what it printed. */
async function run(command: string, args: string[], options: Deno.CommandOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(command, { args, ...options }).output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assertEquals(code, 0, `${out}${err}`);
  return out!;
}

/** Whether a command succeeds here. */
async function works(command: string, ...args: string[]): Promise<boolean> {
  try {
    return (await new Deno.Command(command, { args, stdout: "null", stderr: "null" }).output()).success;
  } catch {
    return false; // there is no such command
  }
}

/** A database with the table `users`, and a consumer of `mail.welcome`. */
async function consumedDatabase() {
  const db = await testDatabase();
  await db.sql`CREATE TABLE users (id serial PRIMARY KEY, mail text NOT NULL)`;
  const ff = new Firefly({ database: db.url });
  const consumer = ff.consume({ tasks: [welcome] });
  await consumer.ready;
  return {
    db,
    ff,
    env: { FIREFLY_DATABASE_URL: db.url },
    async [Symbol.asyncDispose]() {
      await consumer.stop();
      await ff.close();
      await db[Symbol.asyncDispose]();
    },
  };
}

/** The tasks of a database, once they have ended. */
async function endedTasks({ ff }: { ff: Firefly }) {
  const { items } = await ff.tasks.list();
  for (const row of items) await row.result({ timeout: "10s" });
  return await Promise.all(items.map((row) => row.refresh()));
}

async function assertWelcomed(scene: Awaited<ReturnType<typeof consumedDatabase>>): Promise<void> {
  const tasks = await endedTasks(scene);
  assertEquals(tasks.map(({ params, returned, tags }) => [params, returned, tags]), [
    [["ada@example.org"], "Welcome, ada@example.org", ["signup"]],
  ]);
  assertEquals((await scene.db.sql`SELECT mail FROM users`).map(({ mail }) => mail), ["ada@example.org"]);
}

Deno.test({
  name: "psql runs the statements of docs/other-languages.md",
  ignore: !await works("psql", "--version"),
  async fn() {
    await using scene = await consumedDatabase();
    const psql = (text: string) => run("psql", ["-XAtq", "-v", "ON_ERROR_STOP=1", scene.db.url, "-c", text]);
    const [scheduled, selected] = blocksOf("psql", "sql");

    // Only from a file or stdin does psql know backslash commands.
    const file = await Deno.makeTempFile({ suffix: ".sql" });
    await Deno.writeTextFile(file, scheduled!);
    const status = await run("psql", ["-XAtq", "-v", "ON_ERROR_STOP=1", "-f", file, scene.db.url]);
    await Deno.remove(file);
    assert(["created", "running", "completed"].includes(status.trim()), status);
    await assertWelcomed(scene);

    await psql(selected!);
    const [unique, ...others] = await endedTasks(scene);
    assertEquals([unique!.params, others.length], [["ada@example.org"], 1]);
    const keys = await psql(`SELECT unique_key FROM firefly.task_json WHERE id = ${unique!.id}`);
    assertEquals(keys, "welcome ada@example.org\n");
    const [result] = blocksOf("Results", "sql");
    const answer = await psql(result!.replace("id = 1", `id = ${unique!.id}`));
    assertEquals(answer, 'completed|"Welcome, ada@example.org"|\n');
  },
});

/** The Python that has psycopg: that of Debian where another comes first. */
const [python] = (await Promise.all(["python3", "/usr/bin/python3"].map(async (path) => ({
  path,
  works: await works(path, "-c", "import psycopg"),
})))).filter(({ works }) => works);

Deno.test({
  name: "Python runs the program of docs/other-languages.md",
  ignore: python === undefined,
  async fn() {
    await using scene = await consumedDatabase();
    const [program] = blocksOf("Python", "python");

    const printed = await run(python!.path, ["-c", program!], { env: scene.env });

    assertEquals(printed, "completed Welcome, ada@example.org\n");
    await assertWelcomed(scene);
  },
});

/** Where Debian installs libraries of Go, pgx 4 among them, whose names in this program are those of pgx 5. */
const GO = { GO111MODULE: "off", GOPATH: "/usr/share/gocode", GOFLAGS: "-buildvcs=false" };

Deno.test({
  name: "Go runs the program of docs/other-languages.md",
  ignore: !await works("go", "version") || !await works("test", "-d", `${GO.GOPATH}/src/github.com/jackc/pgx/v4`),
  async fn() {
    await using scene = await consumedDatabase();
    const directory = await Deno.makeTempDir({ prefix: "firefly_go_" });
    const [program] = blocksOf("Go", "go");
    await Deno.writeTextFile(`${directory}/main.go`, program!.replace("pgx/v5", "pgx/v4"));

    const printed = await run("go", ["run", "main.go"], { cwd: directory, env: { ...GO, ...scene.env } });

    await Deno.remove(directory, { recursive: true });
    assertEquals(printed, "completed Welcome, ada@example.org\n");
    await assertWelcomed(scene);
  },
});
