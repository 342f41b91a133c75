import { assertEquals, assertStringIncludes } from "@std/assert";
import { failedTests } from "../../scripts/retest.ts";

const PROGRAM = new URL("../../scripts/retest.ts", import.meta.url).pathname;

/** Runs the program over a folder with these files of tests; the text `HERE` becomes the folder. */
async function retest(files: Record<string, string>, ...options: string[]) {
  const folder = await Deno.makeTempDir();
  await using _ = { [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }) };
  for (const [name, body] of Object.entries(files)) {
    await Deno.writeTextFile(`${folder}/${name}`, body.replaceAll("HERE", folder));
  }
  const notes = `${folder}/notes`;
  const args = ["run", "-A", "--no-check", PROGRAM, notes, "test:files", ...options, folder];
  const { code, stdout } = await new Deno.Command(Deno.execPath(), { args, stderr: "null" }).output();
  return {
    code,
    output: new TextDecoder().decode(stdout),
    flaky: (await Deno.readTextFile(notes).catch(() => "")).replace(/\S*\/(\w+_test)/g, "$1"),
  };
}

const PASSES = `Deno.test("passes", () => {});`;
const FAILS = `Deno.test("always fails", () => { throw new Error("always"); });`;
/** A test that fails in the first run, in a file of this name. */
function flaky(name: string): string {
  return `Deno.test("fails once", () => {
    const runs = [...Deno.readDirSync("HERE")].filter((entry) => entry.name.startsWith("${name}.run")).length;
    Deno.writeTextFileSync("HERE/${name}.run" + runs, "");
    if (runs === 0) throw new Error("once");
  });`;
}

Deno.test("retest passes and notes nothing if all tests pass", async () => {
  const { code, flaky } = await retest({ "a_test.ts": PASSES });

  assertEquals([code, flaky], [0, ""]);
});

Deno.test("retest passes if the failed files pass when they run again, and notes them", async () => {
  const { code, flaky: notes, output } = await retest({ "a_test.ts": PASSES, "b_test.ts": PASSES + flaky("b") });

  assertEquals([code, notes], [0, "flaky: b_test.ts (fails once)\n"]);
  assertEquals(output.match(/ passes \.\.\. ok|^passes \.\.\. ok/gm)?.length, 3, "that of b twice");
});

Deno.test("retest runs a failed example of the documentation again", async () => {
  const body = `const runs = [...Deno.readDirSync("HERE")].filter(({ name }) => name.startsWith("run")).length;
    Deno.writeTextFileSync("HERE/run" + runs, "");
    if (runs === 0) throw new Error("once");`;
  const { code, flaky } = await retest({ "a.md": "```ts\n" + body + "\n```\n" }, "--doc");

  assertEquals([code, flaky.replace(/\S*\/a/, "a")], [0, "flaky: a.md (example)\n"]);
});

Deno.test("retest fails if a failed file fails again, whatever else passes", async () => {
  const { code, output } = await retest({ "a_test.ts": flaky("a"), "b_test.ts": FAILS });

  assertEquals(code, 1);
  assertStringIncludes(output, "b_test.ts failed, and runs again alone");
});

Deno.test("retest fails if a file that cannot be loaded fails beside one that is flaky", async () => {
  const { code } = await retest({ "a_test.ts": flaky("a"), "b_test.ts": `throw new Error("at its load");` });

  assertEquals(code, 1);
});

Deno.test("retest runs nothing again if more than ten files failed, or the runner crashed", async () => {
  const eleven = Object.fromEntries([..."abcdefghijk"].map((name) => [`${name}_test.ts`, flaky(name)]));
  const many = await retest(eleven);
  const crashed = await retest({
    "a_test.ts": flaky("a"),
    "b_test.ts": `Deno.test("crashes", async () => {
      const { code } = await new Deno.Command("sleep", { args: ["1"] }).output();
      Deno.kill(Deno.pid, "SIGKILL");
    });`,
  });
  const unresolved = await retest({ "a_test.ts": flaky("a"), "b_test.ts": `import "./missing.ts";` });

  for (const { code, output, flaky } of [many, crashed, unresolved]) {
    assertEquals([code > 0, output.includes("failed, and runs again"), flaky], [true, false, ""]);
  }
});

Deno.test("failedTests() reads the list at the end of the output, and refuses what is no file of tests", () => {
  const list = (...lines: string[]) => `\n FAILURES \n\n${lines.join("\n")}\n\nFAILED | 1 passed | 2 failed (1s)\n`;
  const files = (...lines: string[]) => Object.fromEntries(failedTests(list(...lines)) ?? [["none", []]]);

  assertEquals(
    files("a => b ... step => ./x_test.ts:1:6", "c => ./x_test.ts:9:6", "./y_test.ts (uncaught error)"),
    { "./x_test.ts": ["a => b ... step", "c"], "./y_test.ts": ["uncaught error"] },
  );
  assertEquals(
    files("file:///r/mod.ts#2-5.ts => ./mod.ts#2-5.ts:2:6", "file:///r/README.md#7-9.ts => ./README.md#7-9.ts:1:1"),
    { "./mod.ts": ["example"], "./README.md": ["example"] },
  );
  assertEquals(files("a => ./x_test.ts:1:6", "b => ./helper.ts:1:6"), { none: [] });
  assertEquals(failedTests("error: Module not found\n"), undefined);
  assertEquals(
    failedTests(list("old => ./x_test.ts:1:6") + list("a => ./y_test.ts:1:6"))?.get("./x_test.ts"),
    undefined,
  );
});
