import { assertEquals } from "@std/assert";
import { decode } from "../../src/wire/decode.ts";
import { ERRORS, VIEWS } from "../../src/wire/format.ts";
import { checkGolden, checkPollution } from "./golden_cases.ts";
import golden from "./golden.json" with { type: "json" };
import { runOn, RUNTIMES } from "./runtimes.ts";
import { GOLDEN } from "./values/golden.ts";

Deno.test("decode() reads, and encode() writes, each pinned text", async () => {
  assertEquals(await checkGolden(), []);
});

Deno.test("golden.json pins a text for each value, tag, view and error", () => {
  const json = Object.values(golden).map((text) => new TextDecoder().decode(Uint8Array.fromBase64(text))).join("\n");
  const tags = ["undefined", "number", "bigint", "string", "Date", "RegExp", "Boxed", "Map", "Set", "Object", "Array"];
  const more = ["Error", "DOMException", "ArrayBuffer", "Blob", "File", "Graph", "Ref", ...VIEWS.keys()];
  assertEquals([...tags, ...more].filter((tag) => !json.includes(`{"$":"${tag}"`)), []);
  assertEquals([...ERRORS.keys()].filter((name) => !json.includes(`"name":"${name}"`)), []);
  assertEquals(Object.keys(golden), [...Object.keys(GOLDEN), "Blob", "File"]);
});

Deno.test("decode() pollutes no prototype", () => {
  assertEquals(checkPollution(), []);
});

Deno.test("decode() reads the pinned text of [1,3]", () => {
  assertEquals(decode("WzEsM10="), [1, 3]);
});

for (const runtime of RUNTIMES) {
  Deno.test(`decode() and encode() do the same on ${runtime}`, async () => {
    const { success, stderr } = await runOn(runtime, new URL("./runtime_check.ts", import.meta.url));
    assertEquals(stderr, "");
    assertEquals(success, true);
  });
}
