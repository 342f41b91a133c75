import { assertEquals } from "@std/assert";
import { filterText, formatFilter, parseFilter, resolveWords, type Token } from "../../src/dashboard/filter.ts";
import { readQuery, readTime } from "../../src/dashboard/task_query.ts";
import { Random } from "../support/random.ts";

const NOW = new Date("2026-11-29T14:32:08.500Z");

function token(key: string, ...values: string[]): Token {
  return { key, values, not: false };
}

Deno.test("parseFilter() reads tokens, lists, quotes and bare words", () => {
  const cases: [string, Token[]][] = [
    ["", []],
    ["  ", []],
    ["status:failed", [token("status", "failed")]],
    ["status:failed,cancelled queue:mail", [token("status", "failed", "cancelled"), token("queue", "mail")]],
    ["-queue:mail", [{ ...token("queue", "mail"), not: true }]],
    ['error:"too many, connections"', [token("error", "too many, connections")]],
    ['error:"say \\"no\\" \\\\"', [token("error", 'say "no" \\')]],
    ['name:a,"b c",d', [token("name", "a", "b c", "d")]],
    ['args:{"user": 4711, "x": [1, 2]} tag:a', [token("args", '{"user": 4711, "x": [1, 2]}'), token("tag", "a")]],
    ["args:[1, 2]", [token("args", "[1, 2]")]],
    ['args:"two words"', [token("args", "two words")]],
    ['args:{"a": "}"} b', [token("args", '{"a": "}"}'), token("", "b")]],
    ["from:13:42", [token("from", "13:42")]],
    ["colour:red", [token("colour", "red")]],
    ["queue:", [token("", "queue:")]],
    ["queue:,", [token("", "queue:,")]],
    ["http://x", [token("http", "//x")]],
    ["4711", [token("", "4711")]],
    ['"queue:mail"', [token("", "queue:mail")]],
    ['"unfinished quote', [token("", '"unfinished quote')]],
    ["args:{", [token("args", "{")]],
    ["Status:failed", [token("", "Status:failed")]],
  ];
  for (const [text, expected] of cases) assertEquals(parseFilter(text), expected, text);
});

Deno.test("formatFilter() writes any tokens so that parseFilter() reads them again", () => {
  const seed = Date.now();
  const random = new Random(seed);
  const characters = ['"', "\\", ",", " ", ":", "-", "{", "}", "[", "]", "a", "b", "1", "\n", "é", "<", "x:"];
  const text = () =>
    Array.from({ length: 1 + random.below(6) }, () => characters[random.below(characters.length)]).join("");
  const keys = ["", "queue", "args", "error", "colour"];
  for (let round = 0; round < 5_000; round++) {
    const tokens = Array.from({ length: 1 + random.below(3) }, (): Token => {
      const key = keys[random.below(keys.length)]!;
      const isOne = key === "" || key === "args";
      const values = Array.from({ length: isOne ? 1 : 1 + random.below(3) }, text);
      return { key, values, not: key !== "" && random.below(2) === 1 };
    });
    const written = formatFilter(tokens);
    assertEquals(parseFilter(written), tokens, `${JSON.stringify(tokens)} as ${written}, seed ${seed}`);
  }
});

Deno.test("resolveWords() makes conditions of known words, and arguments of the others", () => {
  const known = { names: ["mail.send"], queues: ["mail", "both"], tags: ["nightly"] };
  const resolve = (text: string) => formatFilter(resolveWords(parseFilter(text), known));
  assertEquals(resolve("mail.send"), "name:mail.send");
  assertEquals(resolve("mail status:failed"), "queue:mail status:failed");
  assertEquals(resolve("nightly"), "tag:nightly");
  assertEquals(resolve("ana@shop.example"), "args:ana@shop.example");
  assertEquals(resolve("two words queue:mail"), 'queue:mail args:"two words"');
  assertEquals(resolve("queue:mail mail"), "queue:mail");
});

Deno.test("filterText() writes conditions that hold for hostile names", () => {
  const name = 'a "b", c\\';
  assertEquals(parseFilter(filterText({ status: "failed", name })), [token("status", "failed"), token("name", name)]);
});

Deno.test("readQuery() reads states, lists, times and ids", () => {
  const read = (text: string) => readQuery(parseFilter(text), NOW);
  assertEquals(read("status:due").states, ["ready"]);
  assertEquals(read("status:waiting").states, ["delayed", "retrying", "limited", "dependent", "suspended", "unknown"]);
  assertEquals(read("status:failed,cancelled").states, ["failed", "cancelled"]);
  assertEquals(read("place:time,limit").states, ["delayed", "retrying", "limited"]);
  assertEquals(read("status:created place:due").states, ["ready"]);
  assertEquals(read("-status:completed,failed,cancelled,created").states, ["running"]);
  assertEquals(read("").states, null);
  assertEquals(read("queue:a,b -name:c,d -name:e tag:x,y tag:z -tag:w").conditions, {
    queues: ["a", "b"],
    notNames: ["c", "d", "e"],
    tags: [["x", "y"], ["z"]],
    notTags: ["w"],
  });
  assertEquals(read("queue:a,b queue:b,c").conditions, { queues: ["b"] });
  assertEquals(read("id:7,#8 -id:9").conditions, { ids: [7, 8], notIds: [9] });
  assertEquals(read("error:a,b error:c -error:d args:x").conditions, {
    errors: [["a", "b"], ["c"]],
    notErrors: [["d"]],
    args: [["x"]],
  });
  assertEquals(read("from:10m to:13:00").conditions, {
    from: new Date("2026-11-29T14:22:08.500Z"),
    to: new Date("2026-11-29T13:00:00Z"),
  });
});

Deno.test("readQuery() leaves out what it cannot read, and says why", () => {
  const messages = (text: string) => readQuery(parseFilter(text), NOW).problems.map(({ message }) => message);
  assertEquals(messages("zzz:red"), ["there is no “zzz:”"]);
  assertEquals(messages("quue:red"), ['there is no “quue:”, did you mean "queue"?']);
  assertEquals(messages("status:faild"), ['there is no status “faild”, did you mean "failed"?']);
  assertEquals(messages("status:constructor"), ["there is no status “constructor”"]);
  assertEquals(messages("id:x"), ["“x” is no id"]);
  assertEquals(messages("-from:10m"), ["it takes one time, without “-”"]);
  assertEquals(messages("to:tomorrow").length, 1);
  assertEquals(messages("word"), ["there is no “…:”"]);
  assertEquals(messages("queue:a name:b"), []);
});

Deno.test("readTime() reads times in UTC", () => {
  const cases: [string, string | undefined][] = [
    ["90s", "2026-11-29T14:30:38.500Z"],
    ["7d", "2026-11-22T14:32:08.500Z"],
    ["13:42", "2026-11-29T13:42:00.000Z"],
    ["9:05", "2026-11-29T09:05:00.000Z"],
    ["9:05:07", "2026-11-29T09:05:07.000Z"],
    ["14:33", "2026-11-28T14:33:00.000Z"],
    ["2026-11-01", "2026-11-01T00:00:00.000Z"],
    ["2026-11-01T10:00", "2026-11-01T10:00:00.000Z"],
    ["2026-11-01 10:00:30", "2026-11-01T10:00:30.000Z"],
    ["2026-11-01T10:00:00+02:00", "2026-11-01T08:00:00.000Z"],
    ["25:00", undefined],
    ["2026-13-01", undefined],
    ["1", undefined],
    ["99999999d", undefined],
    ["now", undefined],
  ];
  for (const [text, expected] of cases) assertEquals(readTime(text, NOW)?.toISOString(), expected, text);
});
