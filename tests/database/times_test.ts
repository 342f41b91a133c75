import { assert, assertEquals } from "@std/assert";
import { formatTime, parseTime } from "../../src/database/times.ts";
import { testDatabase } from "../support/database.ts";

const TIMES = [
  "2026-03-04 05:06:07.089+00",
  "0001-01-01 00:00:00+00",
  "0099-12-31 23:59:59.5+00",
  "0001-02-29 00:00:00+00 BC",
  "0044-03-15 12:00:00+00 BC",
  "4713-01-01 00:00:00+00 BC",
  "1900-01-01 00:00:00+05:41:16",
  "1969-12-31 23:59:59.9995+00",
  "9999-12-31 23:59:59.999+00",
  "10000-01-01 00:00:00.123456+05:45",
  "275760-09-12 23:59:59.999+00",
];

for (const zone of ["UTC", "Asia/Kathmandu", "America/New_York"]) {
  Deno.test(`parseTime() and formatTime() agree with the server about far times in ${zone}`, async () => {
    await using db = await testDatabase({ migrated: false });
    const sql = await db.sql.reserve();
    await sql`SELECT set_config('TimeZone', ${zone}, false)`;
    for (const given of TIMES) {
      const [row] = await sql`
        SELECT at::text AS text, to_json(at) #>> '{}' AS json, floor(extract(epoch FROM at) * 1000)::text AS epoch
        FROM (SELECT ${given}::text::timestamptz AS at) AS given
      `;
      assertEquals([parseTime(row!.text).getTime(), parseTime(row!.json).getTime()], [+row!.epoch, +row!.epoch], given);
      const [back] = await sql`
        SELECT floor(extract(epoch FROM ${formatTime(parseTime(row!.text))}::text::timestamptz) * 1000)::text AS epoch
      `;
      assertEquals(back!.epoch, row!.epoch, given);
    }
    sql.release();
  });
}

Deno.test("parseTime() reads a time that no Date can hold as the furthest one, which formatTime() writes as infinite", () => {
  for (const far of ["infinity", "294276-12-31 23:59:59+00", "275760-09-13 00:00:00.001+00"]) {
    assertEquals(parseTime(far).getTime(), 8.64e15, far);
  }
  assertEquals(parseTime("-infinity").getTime(), -8.64e15);
  assertEquals(formatTime(parseTime("infinity")), "infinity");
  assertEquals(formatTime(parseTime("-infinity")), "-infinity");
});

Deno.test("parseTime() makes an invalid Date of a text in another style", () => {
  for (const text of ["04.03.2026 05:06:07 CET", "Wed Mar 04 05:06:07 2026 CET", ""]) {
    assert(Number.isNaN(parseTime(text).getTime()), text);
  }
});
