import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "node:path";
import { listAreas, listPrograms, manifestOf, type Program } from "../../scripts/everywhere/programs.ts";
import { type Outcome, runProgram } from "../../scripts/everywhere/run.ts";

const CHECK = new URL("../everywhere/check.ts", import.meta.url);
const DENO = { name: "Deno", version: Deno.version.deno, command: [Deno.execPath(), "run", "-A", "--no-config"] };

/** Runs a program of one area on Deno. */
async function outcomeOf(code: string, { timeout = 20_000 } = {}): Promise<Outcome> {
  const directory = await Deno.makeTempDir();
  try {
    await Deno.copyFile(CHECK, join(directory, "check.ts"));
    await Deno.mkdir(join(directory, "area"));
    await Deno.writeTextFile(join(directory, "area/one.ts"), `import { check } from "../check.ts";\n${code}`);
    const program: Program = { area: "area", name: "one", timeout, needs: [], isLong: false };
    return await runProgram(program, { runtime: DENO, directory, env: { NO_COLOR: "1" } });
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

Deno.test("runProgram() reads the checks that passed", async () => {
  const { checks, failure } = await outcomeOf(`await check("a", () => {});\nconsole.log("{ no report");\n`);

  assertEquals([...checks], [["a", true]]);
  assertEquals(failure, undefined);
});

for (
  const [what, code, expected] of [
    [
      "a check that fails",
      `await check("a", () => { throw new Error("x"); });\nawait check("b", () => {});`,
      /^failed: a$/,
    ],
    ["a program that throws", `await check("a", () => {});\nthrow new Error("x");`, /^ended with exit code 1$/],
    ["a program without a check", ``, /^ran no check$/],
  ] as const
) {
  Deno.test(`runProgram() calls ${what} a failure`, async () => {
    const { failure } = await outcomeOf(code);

    assertMatch(failure!, expected);
  });
}

Deno.test("runProgram() ends a program that hangs, and what it started", async () => {
  const { failure, checks, output } = await outcomeOf(
    `const child = new Deno.Command("sleep", { args: ["600"], stdin: "null" }).spawn();
console.log(child.pid);
await check("a", () => {});
setInterval(() => {}, 1000);
`,
    { timeout: 3_000 },
  );

  assertEquals(failure, "did not end within 3 s");
  assertEquals([...checks], [["a", true]]);
  const pid = /^\d+$/m.exec(output)![0];
  const state = await Deno.readTextFile(`/proc/${pid}/stat`).then((stat) => stat.split(" ")[2], () => "gone");
  assert(state === "Z" || state === "gone", `sleep is still there: ${state}`);
});

Deno.test("every area has programs, and pins the libraries that they use", async () => {
  for (const area of await listAreas()) {
    assert((await listPrograms(area)).length > 0, area);
    const { dependencies } = JSON.parse(await Deno.readTextFile(await manifestOf(area)));
    for (const [name, version] of Object.entries<string>(dependencies)) {
      assertMatch(version, /^(npm:(@[^@]+|[^@]+)@)?\d+\.\d+\.\d+(-[\w.]+)?$/, `${area}: ${name}`);
    }
    assertEquals(Object.keys(dependencies), Object.keys(dependencies).toSorted());
  }
});

Deno.test("listPrograms() reads the head of a program", async () => {
  const programs = await listPrograms("npm");

  const types = programs.find(({ name }) => name === "types");
  assertEquals(types, {
    area: "npm",
    name: "types",
    runtimes: ["Node 24"],
    timeout: 180_000,
    needs: [],
    isLong: true,
  });
});
