import { assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { typescriptHint } from "../../src/cli/typescript_hint.ts";

const HINT = "NODE_OPTIONS=--import=tsx";

/** The hint for an error of Node, in a directory with files. */
async function hintIn(files: string[], error: (directory: string) => object): Promise<string | undefined> {
  const directory = await Deno.makeTempDir();
  try {
    for (const file of files) await Deno.writeTextFile(join(directory, file), "");
    return await typescriptHint(error(directory));
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

for (const code of ["ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX", "ERR_UNSUPPORTED_NODE_MODULES_TYPE_STRIPPING"]) {
  Deno.test(`typescriptHint() names tsx for ${code}`, async () => {
    assertStringIncludes(String(await typescriptHint(Object.assign(new SyntaxError("enum"), { code }))), HINT);
  });
}

Deno.test("typescriptHint() names tsx for .tsx, and not for other extensions that are unknown", async () => {
  const unknown = (extension: string) =>
    Object.assign(new TypeError(`Unknown file extension "${extension}" for /app/tasks${extension}`), {
      code: "ERR_UNKNOWN_FILE_EXTENSION",
    });

  assertStringIncludes(String(await typescriptHint(unknown(".tsx"))), HINT);
  assertEquals(await typescriptHint(unknown(".vue")), undefined);
});

for (
  const [wanted, files, expected] of [
    ["helper.js", ["helper.ts"], true],
    ["helper", ["helper.ts"], true],
    ["helper.mjs", ["helper.mts"], true],
    ["helper.js", [], false],
    ["helper.ts", ["helper.js"], false],
  ] as const
) {
  Deno.test(`typescriptHint() ${expected ? "names" : "does not name"} tsx for ${wanted} beside ${files}`, async () => {
    const hint = await hintIn([...files], (directory) =>
      Object.assign(new Error("Cannot find module"), {
        code: "ERR_MODULE_NOT_FOUND",
        url: pathToFileURL(join(directory, wanted)).href,
      }));

    assertEquals(hint?.includes(HINT) ?? false, expected);
  });
}

Deno.test("typescriptHint() has none for errors of the modules themselves", async () => {
  for (const error of [new Error("boom"), null, undefined, "text", { code: 1 }]) {
    assertEquals(await typescriptHint(error), undefined);
  }
});
