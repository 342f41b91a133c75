import { assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import * as firefly from "../../mod.ts";
import { httpStatus, parseTaskId, task } from "../../mod.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { z } from "zod";

const add = task({ name: taskName(), input: z.tuple([z.int(), z.int()]) }, (i, j) => i + j);
const mail = task({ name: taskName(), unique: { key: (to: string) => to, onConflict: "error" } }, (to: string) => to);
const keep = task({ name: taskName() }, (value: string) => value);

/** Requests that fail, each with the status of its response. */
const FAILURES: Readonly<Record<string, [status: number | undefined, fail: (ff: firefly.Firefly) => unknown]>> = {
  "an id that is none": [422, () => parseTaskId("abc")],
  "arguments of another type": [422, () => add.schedule("1" as never, 2)],
  "an unknown id": [404, () => add.get(1_000_000)],
  "the id of another task": [404, async () => add.get((await mail.schedule("other")).id)],
  "a duplicate": [409, async () => [await mail.schedule("a"), await mail.schedule("a")]],
  "JSON that is nested too deeply": [413, () => keep.schedule(JSON.parse("[".repeat(5000) + "]".repeat(5000)))],
  "an unreachable database": [503, async () => {
    await using other = new firefly.Firefly({ database: "postgres://127.0.0.1:1/none" });
    return await other.run(() => add.schedule(1, 2));
  }],
  "a closed instance": [503, async (ff) => {
    await ff.close();
    return await add.schedule(1, 2);
  }],
  "a mistake in the program": [undefined, () => add.get(NaN)],
};

for (const [name, [status, fail]] of Object.entries(FAILURES)) {
  Deno.test(`httpStatus() of ${name} is ${status}`, async () => {
    await using test = await testInstance();

    const error = await assertRejects(() => test.ff.run(async () => await fail(test.ff)));

    assertEquals(httpStatus(error), status);
  });
}

Deno.test("httpStatus() knows the errors of another copy of the package, and no values that are no errors", () => {
  class Copy extends Error {
    override name = "TaskNotFound";
  }

  assertEquals(httpStatus(new Copy()), 404);
  for (const value of [undefined, null, "TaskNotFound", { name: "TaskNotFound" }]) {
    assertEquals(httpStatus(value), undefined);
  }
});

Deno.test("httpStatus() has a status only for errors that the package exports", async () => {
  const source = await Deno.readTextFile(new URL("../../src/firefly/http_status.ts", import.meta.url));
  const names = Array.from(source.matchAll(/^ {2}\["(\w+)", \d+\]/gm), ([, name]) => name!);

  assertEquals(names.length, 7);
  for (const name of names) assertInstanceOf(firefly[name as keyof typeof firefly], Function, name);
});
