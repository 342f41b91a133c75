import { assertEquals, assertThrows } from "@std/assert";
import { parseTaskId, ValidationFailed } from "../../mod.ts";

const IDS: Readonly<Record<string, number>> = { "1": 1, "42": 42, "9007199254740991": Number.MAX_SAFE_INTEGER };

for (const [text, id] of Object.entries(IDS)) {
  Deno.test(`parseTaskId() reads ${text}`, () => assertEquals(parseTaskId(text), id));
}

/** All but the first three are numbers to `Number()`. */
const OTHERS = ["abc", "1,5", "7\u{1F600}", "", " 7", "7\n", "1e3", "0x10", "+7", "-7", "0", "007", "1.5", "1.0", "٣"];

for (const text of [...OTHERS, "9007199254740992", "9".repeat(400)]) {
  Deno.test(`parseTaskId() refuses ${JSON.stringify(text.slice(0, 20))}`, () => {
    const { issues, message } = assertThrows(() => parseTaskId(text), ValidationFailed, "must be a positive integer");

    assertEquals(issues.length, 1);
    assertEquals(message.length < 150, true, "the message repeats all of it");
  });
}
