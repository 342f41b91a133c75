import { assert, assertEquals } from "@std/assert";
import { TRANSITIONS, WORDS } from "../faults/model/life.ts";

const ROOT = new URL("../../", import.meta.url);
const PAGE = Deno.readTextFileSync(new URL("docs/states.md", ROOT)).replaceAll("\r\n", "\n");

/** A row of the page's table of transitions. */
interface Row {
  from: string[];
  to: string[];
  by: string;
  where: string;
  tests: string;
}

const rows = [...PAGE.matchAll(/^\| (.*) \|$/gm)]
  .map(([, row]) => row!.split(" | ").map((cell) => cell.trim()))
  .filter((cells) => cells.length === 6 && cells[2]!.startsWith("`"))
  .map(([from, to, by, where, , tests]): Row => ({
    from: statesOf(from!),
    to: statesOf(to!),
    by: by!.replaceAll("`", ""),
    where: where!.replaceAll("`", ""),
    tests: tests!,
  }));

function statesOf(cell: string): string[] {
  return cell.split(", ").flatMap((word) => WORDS[word] ?? [word]).sort();
}

function keyOf({ from, to, by }: { from: readonly string[]; to: readonly string[]; by: string }): string {
  return `${from.toSorted().join(", ")} → ${to.toSorted().join(", ")} by ${by}`;
}

Deno.test("docs/states.md has every transition that the model test makes, and no other", () => {
  assertEquals(rows.map(keyOf).sort(), TRANSITIONS.map(keyOf).sort());
});

Deno.test("docs/states.md names functions that are where it says", async () => {
  for (const { by, where } of rows) {
    const source = await Deno.readTextFile(new URL(where, ROOT));
    const name = by.replace(/^firefly\./, "");
    const declared = where.endsWith(".sql")
      ? by === "INSERT" ? 'CREATE FUNCTION "firefly"._place_inserted(' : `FUNCTION "firefly".${name}(`
      : `export async function ${name}(`;
    assert(source.includes(declared), `${where} does not declare ${by}`);
  }
});

Deno.test("docs/states.md names tests that there are", async () => {
  for (const { by, tests } of rows) {
    const [, file, name] = /^`(.*)`: (.*)$/.exec(tests) ?? [];
    assert(file && name, `The row of ${by} names no test`);
    const source = await Deno.readTextFile(new URL(file, ROOT));
    assert(source.includes(`Deno.test("${name}"`), `${file} has no test "${name}"`);
  }
});

Deno.test("docs/states.md draws every state of its table", () => {
  const diagram = /```mermaid\n(.*?)```/s.exec(PAGE)![1]!;
  const drawn = new Set(
    Array.from(diagram.matchAll(/\b([a-z_]+) --> ([a-z_]+)/g), ([, from, to]) => [from!, to!]).flat(),
  );
  const states = new Set(rows.flatMap(({ from, to }) => [...from, ...to]).filter((state) => state !== "nowhere"));
  const names = Array.from(states, (state) => state.replace("waiting: ", "")).filter((state) =>
    state !== "new" && state !== "deleted"
  );
  assertEquals(names.filter((name) => !drawn.has(name)), []);
});
