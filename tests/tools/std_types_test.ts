import { parseArgs } from "@std/cli/parse-args";
import { FakeTime } from "@std/testing/time";
import { assertEquals } from "@std/assert";

// These tests are about types: `deno task check` fails where one of the errors that it expects is missing.

Deno.test("parseArgs() has the types of all kinds of flags for a flag by a computed name, as in the real @std", () => {
  const names: string[] = ["queue"];
  const values = parseArgs(["--queue", ""], { boolean: [], string: ["_", ...names], collect: names });
  const wide = parseArgs(["--queue", ""], { boolean: [] as string[], string: names, collect: names });
  // @ts-expect-error The flag may be boolean.
  const found = [wide["queue"]].flat().includes("");
  assertEquals([found, values["queue"]], [true, [""]]);
});

Deno.test("FakeTime requires a rate with its options, as in the real @std", () => {
  // @ts-expect-error There is no default rate beside a frequency.
  using time = new FakeTime(0, { advanceFrequency: 5 });
  assertEquals(time.now, 0);
});
