import { assertEquals } from "@std/assert";
import { parseCron } from "../../src/task/cron_expression.ts";

const [WARSAW, SAO_PAULO, LORD_HOWE] = ["Europe/Warsaw", "America/Sao_Paulo", "Australia/Lord_Howe"];
const [NUUK, TORONTO, APIA] = ["America/Nuuk", "America/Toronto", "Pacific/Apia"];

/** What comes on the days around a change of the clocks, in UTC, written down by hand. */
const changes: [what: string, expression: string, timezone: string, from: string, slots: string[]][] = [
  // Warsaw, 29 March 2026: 02:00 becomes 03:00 at 01:00 UTC.
  ["before the gap", "30 1 * * *", WARSAW, "2026-03-28T12:00Z", ["2026-03-29T00:30", "2026-03-29T23:30"]],
  ["inside the gap", "30 2 * * *", WARSAW, "2026-03-28T12:00Z", ["2026-03-29T01:00", "2026-03-30T00:30"]],
  ["several inside the gap", "0,30 2 * * *", WARSAW, "2026-03-28T12:00Z", ["2026-03-29T01:00", "2026-03-30T00:00"]],
  ["at the end of the gap", "0 3 * * *", WARSAW, "2026-03-28T12:00Z", ["2026-03-29T01:00", "2026-03-30T01:00"]],
  ["inside the gap and at its end", "0 2,3 * * *", WARSAW, "2026-03-28T12:00Z", [
    "2026-03-29T01:00",
    "2026-03-30T00:00",
  ]],
  ["every two hours, over the gap", "0 */2 * * *", WARSAW, "2026-03-28T22:30Z", [
    "2026-03-28T23:00",
    "2026-03-29T02:00",
    "2026-03-29T04:00",
  ]],
  ["every 15 minutes, over the gap", "*/15 * * * *", WARSAW, "2026-03-29T00:30Z", [
    "2026-03-29T00:45",
    "2026-03-29T01:00",
    "2026-03-29T01:15",
  ]],
  ["every 30 minutes of the gap alone", "*/30 2 * * *", WARSAW, "2026-03-28T12:00Z", [
    "2026-03-30T00:00",
    "2026-03-30T00:30",
  ]],
  // Warsaw, 25 October 2026: 03:00 becomes 02:00 at 01:00 UTC.
  ["what occurs twice", "30 2 * * *", WARSAW, "2026-10-24T12:00Z", ["2026-10-25T00:30", "2026-10-26T01:30"]],
  ["what occurs twice, in a list", "30 1,2 * * *", WARSAW, "2026-10-24T12:00Z", [
    "2026-10-24T23:30",
    "2026-10-25T00:30",
    "2026-10-26T00:30",
  ]],
  ["what occurs twice, in a range", "0 2-3 * * *", WARSAW, "2026-10-24T12:00Z", [
    "2026-10-25T00:00",
    "2026-10-25T02:00",
    "2026-10-26T01:00",
  ]],
  ["what occurs twice, asked between the two", "30 2 * * *", WARSAW, "2026-10-25T00:45Z", ["2026-10-26T01:30"]],
  ["every 30 minutes of what occurs twice", "*/30 2 * * *", WARSAW, "2026-10-24T12:00Z", [
    "2026-10-25T00:00",
    "2026-10-25T00:30",
    "2026-10-25T01:00",
    "2026-10-25T01:30",
    "2026-10-26T01:00",
  ]],
  ["every hour, where one occurs twice", "0 * * * *", WARSAW, "2026-10-24T23:30Z", [
    "2026-10-25T00:00",
    "2026-10-25T01:00",
    "2026-10-25T02:00",
  ]],
  ["every two hours, where one occurs twice", "0 */2 * * *", WARSAW, "2026-10-24T22:30Z", [
    "2026-10-25T00:00",
    "2026-10-25T01:00",
    "2026-10-25T03:00",
  ]],
  // São Paulo, 4 November 2018: 00:00 becomes 01:00 at 03:00 UTC.
  ["midnight in the gap", "0 0 * * *", SAO_PAULO, "2018-11-03T12:00Z", ["2018-11-04T03:00", "2018-11-05T02:00"]],
  ["before a gap at midnight", "30 23 * * *", SAO_PAULO, "2018-11-03T12:00Z", ["2018-11-04T02:30", "2018-11-05T01:30"]],
  ["a Sunday that begins with the gap", "15 0 * * 0", SAO_PAULO, "2018-11-03T12:00Z", [
    "2018-11-04T03:00",
    "2018-11-11T02:15",
  ]],
  // São Paulo, 17 February 2019: 00:00 becomes 23:00 of the day before at 02:00 UTC.
  ["midnight after what occurs twice", "0 0 * * *", SAO_PAULO, "2019-02-16T12:00Z", [
    "2019-02-17T03:00",
    "2019-02-18T03:00",
  ]],
  ["the last hour of a day, twice", "30 23 * * *", SAO_PAULO, "2019-02-16T12:00Z", [
    "2019-02-17T01:30",
    "2019-02-18T02:30",
  ]],
  ["every half of the last hour, twice", "*/30 23 * * *", SAO_PAULO, "2019-02-16T12:00Z", [
    "2019-02-17T01:00",
    "2019-02-17T01:30",
    "2019-02-17T02:00",
    "2019-02-17T02:30",
    "2019-02-18T02:00",
  ]],
  // Lord Howe Island, 4 October 2026: 02:00 becomes 02:30 at 15:30 UTC.
  ["inside a gap of half an hour", "15 2 * * *", LORD_HOWE, "2026-10-03T00:00Z", [
    "2026-10-03T15:30",
    "2026-10-04T15:15",
  ]],
  // Nuuk, 30 March 2024: 23:00 becomes 00:00 of the next day at 01:00 UTC on the 31st.
  ["inside a gap before midnight", "30 23 * * *", NUUK, "2024-03-29T12:00Z", [
    "2024-03-30T01:30",
    "2024-03-31T01:00",
    "2024-04-01T00:30",
  ]],
  ["at the start of a gap before midnight", "0 23 * * *", NUUK, "2024-03-30T12:00Z", [
    "2024-03-31T01:00",
    "2024-04-01T00:00",
  ]],
  ["at the end of a gap before midnight", "0 0 * * *", NUUK, "2024-03-30T12:00Z", [
    "2024-03-31T01:00",
    "2024-04-01T01:00",
  ]],
  ["inside a gap before midnight and at its end", "0,30 0,23 * * *", NUUK, "2024-03-30T12:00Z", [
    "2024-03-31T01:00",
    "2024-03-31T01:30",
    "2024-04-01T00:00",
  ]],
  ["a Saturday without its last hour", "59 23 * * SAT", NUUK, "2024-03-24T12:00Z", [
    "2024-03-31T01:00",
    "2024-04-07T00:59",
  ]],
  ["a date without its last hour", "30 23 30 3 *", NUUK, "2023-06-01T12:00Z", ["2024-03-31T01:00", "2025-03-31T00:30"]],
  ["the last hour of the month after the gap", "59 23 L 3 *", NUUK, "2023-06-01T12:00Z", [
    "2024-04-01T00:59",
    "2025-04-01T00:59",
  ]],
  ["every 30 minutes, over a gap before midnight", "*/30 * * * *", NUUK, "2024-03-31T00:15Z", [
    "2024-03-31T00:30",
    "2024-03-31T01:00",
    "2024-03-31T01:30",
  ]],
  ["every 15 minutes of a last hour that is skipped", "*/15 23 * * *", NUUK, "2024-03-30T12:00Z", ["2024-04-01T00:00"]],
  // Nuuk, 26 October 2024: 00:00 of the 27th becomes 23:00 at 01:00 UTC.
  ["the last hour of a Saturday, twice", "30 23 * * SAT", NUUK, "2024-10-26T12:00Z", [
    "2024-10-27T00:30",
    "2024-11-03T01:30",
  ]],
  ["inside another gap before midnight", "30 23 * * *", "America/Scoresbysund", "2025-03-29T12:00Z", [
    "2025-03-30T01:00",
    "2025-03-31T00:30",
  ]],
  // Toronto, 30 March 1919: 23:30 becomes 00:30 of the next day at 04:30 UTC on the 31st.
  ["inside a gap over midnight, before it", "45 23 * * *", TORONTO, "1919-03-30T12:00Z", [
    "1919-03-31T04:30",
    "1919-04-01T03:45",
  ]],
  ["inside a gap over midnight, after it", "15 0 * * *", TORONTO, "1919-03-30T12:00Z", [
    "1919-03-31T04:30",
    "1919-04-01T04:15",
  ]],
  // Apia: 30 December 2011 was skipped.
  ["inside a day that is skipped", "0 12 * * *", APIA, "2011-12-29T12:00Z", [
    "2011-12-29T22:00",
    "2011-12-30T10:00",
    "2011-12-30T22:00",
  ]],
  ["a date that is skipped", "0 12 30 12 *", APIA, "2011-06-01T12:00Z", ["2011-12-30T10:00", "2012-12-29T22:00"]],
  // Midnight in a gap, elsewhere.
  ["midnight in the gap of Beirut", "0 0 * * *", "Asia/Beirut", "2026-03-28T12:00Z", [
    "2026-03-28T22:00",
    "2026-03-29T21:00",
  ]],
  ["midnight in the gap of Cairo", "30 0 * * *", "Africa/Cairo", "2026-04-23T12:00Z", [
    "2026-04-23T22:00",
    "2026-04-24T21:30",
  ]],
  ["midnight in the gap of Havana", "0 0 * * *", "America/Havana", "2026-03-07T12:00Z", [
    "2026-03-08T05:00",
    "2026-03-09T04:00",
  ]],
  ["before the gap of Havana", "59 23 * * *", "America/Havana", "2026-03-07T12:00Z", [
    "2026-03-08T04:59",
    "2026-03-09T03:59",
  ]],
  ["midnight in the gap of Asunción", "15 0 * * *", "America/Asuncion", "2023-09-30T12:00Z", [
    "2023-10-01T04:00",
    "2023-10-02T03:15",
  ]],
  ["midnight in the gap of Amman", "0 0 * * *", "Asia/Amman", "2021-03-25T12:00Z", [
    "2021-03-25T22:00",
    "2021-03-26T21:00",
  ]],
  // Troll, 29 March 2026: 01:00 becomes 03:00 at 01:00 UTC.
  ["inside a gap of two hours", "30 2 * * *", "Antarctica/Troll", "2026-03-28T12:00Z", [
    "2026-03-29T01:00",
    "2026-03-30T00:30",
  ]],
  ["seconds", "*/20 59 1 * * *", WARSAW, "2026-03-28T12:00Z", [
    "2026-03-29T00:59",
    "2026-03-29T00:59:20",
    "2026-03-29T00:59:40",
    "2026-03-29T23:59",
  ]],
  ["a nickname", "@daily", WARSAW, "2026-10-24T12:00Z", ["2026-10-24T22:00", "2026-10-25T23:00"]],
];

for (const [what, expression, timezone, from, slots] of changes) {
  Deno.test(`parseCron() finds ${what}: ${expression}, ${timezone}`, () => {
    const cron = parseCron(expression, timezone, "test");
    const expected = slots.map((slot) => new Date(`${slot}Z`));

    const found: Date[] = [];
    for (let after = new Date(from); found.length < slots.length; after = found.at(-1)!) found.push(cron.next(after)!);

    assertEquals(found, expected);
    assertEquals(cron.between(new Date(from), expected.at(-1)!, 100), expected);
  });
}
