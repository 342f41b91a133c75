import { assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { compare, recount } from "../../scripts/demo/recount.ts";
import { findFiles } from "../../scripts/demo/files.ts";
import { type Measure, measureFile } from "../../scripts/demo/tasks.ts";
import { testDatabase } from "../support/database.ts";
import { until } from "../support/waiting.ts";

const DEMO = new URL("../../scripts/demo.ts", import.meta.url);
const HELLO = "hello world\nand all who live in it\n";

/** A folder with files to count; a path may go through folders. */
async function testFolder(files: Record<string, string | Uint8Array>) {
  const path = await Deno.makeTempDir({ prefix: "firefly_demo_" });
  for (const [name, content] of Object.entries(files)) {
    await Deno.mkdir(join(path, name, ".."), { recursive: true });
    await Deno.writeFile(join(path, name), typeof content === "string" ? new TextEncoder().encode(content) : content);
  }
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}

function demo(args: string[], url = ""): Deno.Command {
  const env = { FIREFLY_DATABASE_URL: url, NO_COLOR: "1" };
  const signal = AbortSignal.timeout(60_000); // a run takes five seconds, and no queue may ever hold it up
  return new Deno.Command(Deno.execPath(), { args: ["run", "-A", DEMO.href, ...args], env, signal, stdout: "piped" });
}

async function run(args: string[], url?: string): Promise<{ code: number; text: string }> {
  const { code, stdout } = await demo(args, url).output();
  return { code, text: new TextDecoder().decode(stdout) };
}

/** Runs the demo until its consumer has started, ends it with `signal`, and waits until both are gone. */
async function interrupt(args: string[], url: string, signal: Deno.Signal): Promise<{ code: number; text: string }> {
  await using process = demo(args, url).spawn();
  let [text, consumer] = ["", 0];
  for await (const chunk of process.stdout.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    if (consumer > 0) continue;
    consumer = Number(/in process (\d+)/.exec(text)?.[1] ?? 0);
    if (consumer > 0) process.kill(signal);
  }
  const { code } = await process.status;
  await untilGone(consumer);
  return { code, text };
}

async function untilGone(pid: number): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (performance.now() < deadline) {
    try {
      Deno.kill(pid, "SIGURG"); // which is ignored unless somebody listens: asks whether there is such a process
    } catch {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`Process ${pid} still runs`);
}

Deno.test("demo counts the words of a folder on an empty database, and its second run starts clean", async () => {
  await using db = await testDatabase({ migrated: false });
  await using folder = await testFolder({
    "hello.txt": HELLO,
    "sub/leer": "",
    "sub/ünï.txt": "\ufeffspäß\u00a0漢字",
    "nul": "a\0b",
    "latin1": new Uint8Array([0x66, 0xfc, 0x72]),
    "node_modules/left_out.txt": HELLO,
  });

  const first = await run([folder.path], db.url);
  assertEquals(first.code, 0, first.text);
  assertStringIncludes(first.text, `Firefly's tables are in its schema "firefly" now`);
  assertMatch(first.text, /texts +3 +3\n +lines +2 +2\n +words +10 +10\n +bytes +52 +52\n +failed +2 +2\n/);
  assertStringIncludes(first.text, "Right, file by file and hash by hash");
  const [row] = await db.sql`
    SELECT count(*)::integer AS tasks, count(*) FILTER (WHERE retry_attempts = 1)::integer AS retried
    FROM firefly.task
    WHERE func_name = 'demo.measure_file'
  `;
  assertEquals({ ...row }, { tasks: 5, retried: 2 });

  await Deno.remove(join(folder.path, "latin1"));
  const second = await run([folder.path], db.url);
  assertEquals(second.code, 0, second.text);
  assertStringIncludes(second.text, "Deleted 205 tasks of an earlier run");
  assertMatch(second.text, /failed +1 +1\n/);
});

Deno.test("demo refuses a second one on the same database", async () => {
  await using db = await testDatabase();
  await using folder = await testFolder({ "hello.txt": HELLO });
  const { code, text } = await db.sql.begin(async (sql) => {
    await sql`SELECT pg_advisory_xact_lock(7312001)`;
    return await run([folder.path], db.url);
  });
  assertEquals(code, 1);
  assertStringIncludes(text, "another one runs on this database");
});

for (
  const [what, args, complaint] of [
    ["an unknown flag", ["--folder=/tmp"], `no flag "--folder=/tmp"`],
    ["two folders", ["/tmp", "/tmp"], "one argument too many"],
    ["a folder that is not there", ["/nowhere/at/all"], "no folder that can be read"],
  ] as const
) {
  Deno.test(`demo refuses ${what}`, async () => {
    const { code, text } = await run([...args]);
    assertEquals(code, 2);
    assertStringIncludes(text, complaint);
  });
}

for (const [signal, expected] of [["SIGINT", 130], ["SIGTERM", 143], ["SIGKILL", 137]] as const) {
  Deno.test({
    name: `demo ends its consumer, too, when it is ended by ${signal}`,
    ignore: Deno.build.os === "windows",
    async fn() {
      await using db = await testDatabase();
      const names = Array.from({ length: 500 }, (_, i) => [`${i}.txt`, HELLO]);
      await using folder = await testFolder(Object.fromEntries(names));
      const { code, text } = await interrupt([folder.path], db.url, signal);
      assertEquals(code, expected, text);
    },
  });
}

Deno.test("demo starts clean after a run that was ended before its consumer did anything", async () => {
  await using db = await testDatabase();
  await using folder = await testFolder({ "hello.txt": HELLO });
  const names = Array.from({ length: 500 }, (_, i) => [`${i}.txt`, HELLO]);
  await using large = await testFolder(Object.fromEntries(names));
  await interrupt([large.path], db.url, "SIGTERM");
  const { code, text } = await run([folder.path], db.url);
  assertEquals(code, 0, text);
  assertMatch(text, /texts +1 +1\n/);
});

Deno.test("measureFile() rejects a file that is no text or not there", async () => {
  await using folder = await testFolder({ nul: "a\0b", latin1: new Uint8Array([0xfc]) });
  await assertRejects(() => measureFile(join(folder.path, "nul")), TypeError, "NUL");
  await assertRejects(() => measureFile(join(folder.path, "latin1")), TypeError);
  await assertRejects(() => measureFile(join(folder.path, "vanished")), Error, "ENOENT");
});

Deno.test("recount() measures texts, and nothing that is no text or vanished", async () => {
  await using folder = await testFolder({ "a.txt": HELLO, nul: "a\0b", vanished: "" });
  const { files } = await findFiles([folder.path]);
  await Deno.remove(join(folder.path, "vanished"));
  const counted = await recount(files);
  const sha256 = "8132124547ea367461051695ea829d8346fb7e7e32f8a4712abdc968f3d68eb6";
  assertEquals(counted.get(join(folder.path, "a.txt")), { bytes: 35, lines: 2, words: 8, sha256 });
  assertEquals([counted.get(join(folder.path, "nul")), counted.get(join(folder.path, "vanished"))], [
    undefined,
    undefined,
  ]);
});

/** What a run without a mistake leaves: `a.txt` measured, and `nul` failed. */
async function rightOutcomes(path: string) {
  const { files } = await findFiles([path]);
  const counted = await recount(files);
  const completed = new Map<string, Measure>();
  for (const [path, measure] of counted) if (measure) completed.set(path, measure);
  return { files, counted, completed, failed: new Set([join(path, "nul")]) };
}

Deno.test("compare() finds nothing where everything is right", async () => {
  await using folder = await testFolder({ "a.txt": HELLO, nul: "a\0b" });
  const { files, counted, completed, failed } = await rightOutcomes(folder.path);
  assertEquals(await compare(files, { completed, failed }, counted), { differences: [], changed: [] });
});

Deno.test("compare() finds a wrong number, a missing row and a row too many", async () => {
  await using folder = await testFolder({ "a.txt": HELLO, "b.txt": HELLO, nul: "a\0b" });
  const { files, counted, completed, failed } = await rightOutcomes(folder.path);
  const [a, b] = ["a.txt", "b.txt"].map((name) => join(folder.path, name)) as [string, string];
  const measure = completed.get(a)!;
  completed.set(a, { ...measure, words: 9 });
  completed.delete(b);
  completed.set("/elsewhere", measure);
  const { differences } = await compare(files, { completed, failed }, counted);
  assertEquals(differences, [
    `${a}: words 9 by its task, 8 recounted`,
    `${b}: its task has not ended`,
    "/elsewhere: nobody scheduled it",
  ]);
});

Deno.test("compare() finds a task that failed without a reason, and one that should have failed", async () => {
  await using folder = await testFolder({ "a.txt": HELLO, nul: "a\0b" });
  const { files, counted, completed } = await rightOutcomes(folder.path);
  const [a, nul] = ["a.txt", "nul"].map((name) => join(folder.path, name)) as [string, string];
  const outcomes = { completed: new Map([[nul, completed.get(a)!]]), failed: new Set([a]) };
  const { differences } = await compare(files, outcomes, counted);
  assertEquals(differences, [
    `${a}: its task failed, and the recount reads it as text`,
    `${nul}: its task completed, and the recount cannot read it as text`,
  ]);
});

Deno.test("compare() leaves out a file that was written to after its task had read it", async () => {
  await using folder = await testFolder({ "a.txt": HELLO });
  const { files, completed } = await rightOutcomes(folder.path);
  await Deno.writeTextFile(join(folder.path, "a.txt"), `${HELLO} more`);
  const comparison = await compare(files, { completed, failed: new Set() }, await recount(files));
  assertEquals(comparison, { differences: [], changed: [join(folder.path, "a.txt")] });
});

Deno.test("demo --dashboard serves a busy shop, and ends its consumers with itself", async () => {
  await using db = await testDatabase({ migrated: false });
  await using process = demo(["--dashboard", "--port", "0"], db.url).spawn();
  let text = "";
  for await (const chunk of process.stdout.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    const url = /http:\S+/.exec(text)?.[0];
    if (url === undefined || !text.includes("Ctrl-C")) continue;
    const page = await fetch(url);
    assertEquals(page.status, 200);
    assertStringIncludes(await page.text(), "demo");
    await untilRows(() =>
      db.sql`
        SELECT
        FROM firefly_demo.task_overview
        WHERE status = 'failed' AND func_name = 'billing.charge'
          AND EXISTS (SELECT FROM firefly_demo.task_overview WHERE status = 'running')
        LIMIT 1
      `
    );
    break;
  }
  const consumers = await db.sql`SELECT pid FROM firefly_demo.consumer`;
  process.kill("SIGINT");

  assertEquals((await process.status).code, 0);
  assertEquals(consumers.length, 2);
  for (const { pid } of consumers) await untilGone(pid);
});

async function untilRows(read: () => Promise<{ length: number }>): Promise<void> {
  await until(async () => (await read()).length > 0);
}
