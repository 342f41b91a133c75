import { assert, assertEquals } from "@std/assert";

const ROOT = new URL("../../", import.meta.url);

interface Documented {
  doc?: string;
  tags?: { kind: string; doc?: string }[];
}

interface Declaration {
  kind: string;
  declarationKind: string;
  jsDoc?: Documented;
}

interface Module {
  module_doc: Documented;
  symbols: { name: string; declarations: Declaration[] }[];
}

/** What is documented of each entry of `exports`, by the entry's path. */
async function documentation(): Promise<Map<string, Module>> {
  const { exports } = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT)));
  const entries: string[] = Object.values(exports);
  const args = ["doc", "--json", ...entries];
  const { success, stdout } = await new Deno.Command(Deno.execPath(), { args, cwd: ROOT }).output();
  assert(success, "deno doc fails");
  const { nodes } = JSON.parse(new TextDecoder().decode(stdout));
  return new Map(entries.map((path) => [path, nodes[new URL(path, ROOT).href]]));
}

function hasExample({ tags = [] }: Documented = {}): boolean {
  return tags.some(({ kind, doc }) => kind === "example" && doc?.includes("```"));
}

/** Whether it can be called or read at run time, and not only named in types. */
function isValue({ kind }: Declaration): boolean {
  return kind !== "interface" && kind !== "typeAlias";
}

/** Whether another entry exports the same, and is where it is documented. */
function isReference({ kind }: Declaration): boolean {
  return kind === "reference";
}

const modules = new Map(
  [...await documentation()].map(([path, { symbols, ...module }]) => [
    path,
    { ...module, symbols: symbols.filter(({ declarations }) => !declarations.every(isReference)) },
  ]),
);

Deno.test("every export that is a function, a class or a variable has an example", () => {
  const values = [...modules].flatMap(([path, { symbols }]) =>
    symbols.filter(({ declarations }) => declarations.some(isValue)).map((symbol) => ({ path, ...symbol }))
  );

  const without = values.filter(({ declarations }) => !declarations.some(({ jsDoc }) => hasExample(jsDoc)));

  assert(values.length > 20, "where are the exports?");
  assertEquals(without.map(({ path, name }) => `${path}: ${name}`), []);
});

Deno.test("every export has documentation", () => {
  const bare = [...modules].flatMap(([path, { symbols }]) =>
    symbols.filter(({ declarations }) => !declarations.some(({ jsDoc }) => jsDoc?.doc)).map(({ name }) =>
      `${path}: ${name}`
    )
  );

  assertEquals(bare, []);
});

Deno.test("every entry of exports has documentation of its own, with an example", () => {
  const without = [...modules].filter(([, { module_doc: own }]) => !own.doc || !hasExample(own));

  assertEquals(without.map(([path]) => path), []);
});
