import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { ORDER } from "./reading_order.ts";

/** Each dependency, with the one file or folder of `src/` that may import it. */
const HOMES: Readonly<Record<string, string>> = {
  "croner": "task/cron_expression.ts",
  "hono": "dashboard/html.ts",
  "postgres": "database/driver.ts",
  "@hono/node-server": "cli/dashboard.ts",
  "@std/cli": "cli/",
  "@std/encoding": "wire/",
  "@std/text": "suggest.ts",
};

/** The files and folders of `src/` that may hold SQL. */
const SQL_HOMES = [
  "store/",
  "schema/migrator.ts",
  "schema/migrations.ts",
  "database/pools.ts",
  "database/session_settings.ts",
];

/** How a string begins that is an SQL statement; BEGIN and its kind hold no knowledge of tables and are not meant. */
const STATEMENT =
  /^\s*(SELECT\s|INSERT\s+INTO\s|UPDATE\s+\S+\s+SET\s|DELETE\s+FROM\s|WITH\s+\w+\s+AS\s|(CREATE|ALTER|DROP)\s+[A-Z]+\s|TRUNCATE\s|(UN)?LISTEN\s|NOTIFY\s)/;

/** The files that users import, or run. */
const ENTRIES = ["mod.ts", "adapters.ts", "cli.ts", "main.ts", "dashboard.ts", "import.ts", "metrics.ts", "testing.ts"];

const SQL_TAGS = ["sql", "tx"];

const ROOT = new URL("../", import.meta.url).href;
const FOLDERS = Object.keys(ORDER);

/** Path from the repository's root, e.g. `src/task/task.ts`. */
function pathOf(url: string): string {
  return url.startsWith(ROOT) ? url.slice(ROOT.length) : url;
}

/** Path within `src/`, or nothing for a file elsewhere. */
function sourceOf(path: string): string | undefined {
  return path.startsWith("src/") ? path.slice("src/".length) : undefined;
}

function lives(file: string, homes: readonly string[]): boolean {
  return homes.some((home) => home.endsWith("/") ? file.startsWith(home) : file === home);
}

/** The package of an import, without its registry and version; nothing for files and built-ins. */
function packageOf(specifier: string): string | undefined {
  if (/^(\.|\/|node:|file:)/.test(specifier)) return;
  return /^(?:npm:|jsr:)?\/?((?:@[^/]+\/)?[^/@]+)/.exec(specifier)?.[1];
}

/** Calls `check` with everything that the file imports, by whatever syntax. */
function onImport(
  check: (source: Deno.lint.StringLiteral) => void,
): Deno.lint.LintVisitor {
  function visit({ source }: { source: Deno.lint.Expression | null }) {
    if (source?.type === "Literal" && typeof source.value === "string") {
      check(source as Deno.lint.StringLiteral);
    }
  }
  return {
    ImportDeclaration: visit,
    ExportNamedDeclaration: visit,
    ExportAllDeclaration: visit,
    ImportExpression: visit,
  };
}

/** The folder of a file of `src/`: `""` for `errors.ts`, `cli` for `cli/main.ts`, `dashboard` for `dashboard/parts/a.ts`. */
function folderOf(file: string): string {
  return file.includes("/") ? file.slice(0, file.indexOf("/")) : "";
}

const readingOrder: Deno.lint.Rule = {
  create(context) {
    const url = pathToFileURL(context.filename).href;
    const file = sourceOf(pathOf(url));
    if (file === undefined) return {};
    const position = FOLDERS.indexOf(folderOf(file));
    if (position < 0) {
      const message = `Add src/${folderOf(file)}/ to ORDER in scripts/reading_order.ts`;
      return { Program: (node) => context.report({ node, message }) };
    }
    return onImport((source) => {
      if (!source.value.startsWith(".")) return;
      const target = pathOf(new URL(source.value, url).href);
      const imported = sourceOf(target);
      const index = imported === undefined ? -1 : FOLDERS.indexOf(folderOf(imported));
      if (index >= 0 && index <= position) return;
      const message = index < 0
        ? `${target} is in no folder of ORDER in scripts/reading_order.ts`
        : `${target} is in a folder below src/${folderOf(file)} in ORDER of scripts/reading_order.ts`;
      context.report({ node: source, message });
    });
  },
};

/** An import of a file by its path, by whatever syntax; the text of a file is all that other files are known by. */
const RELATIVE = /(?:\bfrom|\bimport\(?)\s*"(\.[^"]+)"/g;

/** Whether both paths are in the same folder of `src/`, or in folders within it. */
function areSiblings(path: string, other: string): boolean {
  const [one, two] = [path, other].map((path) => sourceOf(pathOf(pathToFileURL(path).href)));
  return one !== undefined && two !== undefined && folderOf(one) === folderOf(two);
}

const siblings = new Map<string, string[]>();

/** The files of its own folder that a file imports. */
function siblingsOf(path: string): string[] {
  let found = siblings.get(path);
  if (found === undefined) {
    try {
      found = Array.from(Deno.readTextFileSync(path).matchAll(RELATIVE), ([, name]) => join(dirname(path), name!))
        .filter((target) => areSiblings(path, target));
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      found = []; // the type checker refuses the import of a file that is not there
    }
    siblings.set(path, found);
  }
  return found;
}

/** Whether imports within the folder lead from `start` to `end`. */
function leadsTo(start: string, end: string, seen: Set<string> = new Set()): boolean {
  if (start === end) return true;
  if (seen.has(start)) return false;
  seen.add(start);
  return siblingsOf(start).some((next) => leadsTo(next, end, seen));
}

const noCycle: Deno.lint.Rule = {
  create(context) {
    const path = context.filename;
    const file = sourceOf(pathOf(pathToFileURL(path).href));
    if (file === undefined) return {};
    return onImport((source) => {
      if (!source.value.startsWith(".")) return;
      const target = join(dirname(path), source.value);
      if (!areSiblings(path, target) || !leadsTo(target, path)) return;
      context.report({ node: source, message: `${source.value} imports src/${file}: break the cycle` });
    });
  },
};

const sqlInStore: Deno.lint.Rule = {
  create(context) {
    const path = pathOf(pathToFileURL(context.filename).href);
    const file = sourceOf(path);
    const isOurs = file !== undefined || ENTRIES.includes(path);
    if (!isOurs || (file && lives(file, SQL_HOMES))) return {};
    function report(node: Deno.lint.Node) {
      context.report({ node, message: "SQL belongs in src/store/" });
    }
    return {
      TaggedTemplateExpression(node) {
        const tag = node.tag.type === "MemberExpression" ? node.tag.property : node.tag;
        if ("name" in tag && SQL_TAGS.includes(String(tag.name))) report(node);
      },
      TemplateElement(node) {
        if (node.parent.type !== "TemplateLiteral") return;
        const isFirst = node.parent.quasis[0] === node;
        const isTagged = node.parent.parent.type === "TaggedTemplateExpression";
        if (isFirst && !isTagged && STATEMENT.test(node.cooked)) report(node);
      },
      Literal(node) {
        if (typeof node.value === "string" && STATEMENT.test(node.value)) {
          report(node);
        }
      },
    };
  },
};

const dependencyHome: Deno.lint.Rule = {
  create(context) {
    const path = pathOf(pathToFileURL(context.filename).href);
    const file = sourceOf(path) ?? path;
    if (file === path && !ENTRIES.includes(path)) return {};
    return onImport((source) => {
      const name = packageOf(source.value);
      if (name === undefined) return;
      const home = Object.hasOwn(HOMES, name) ? HOMES[name] : undefined;
      if (home !== undefined && file !== path && lives(file, [home])) return;
      const message = home === undefined
        ? `Give ${name} a home in HOMES of scripts/lint_layers.ts`
        : `Only src/${home} imports ${name}`;
      context.report({ node: source, message });
    });
  },
};

/** `mod.ts` and `dashboard.ts` only export; `cli.ts` only imports the program and starts it. */
const entryHoldsNoLogic: Deno.lint.Rule = {
  create(context) {
    const path = pathOf(pathToFileURL(context.filename).href);
    if (!ENTRIES.includes(path)) return {};
    const allowed = [
      "ImportDeclaration",
      "ExportNamedDeclaration",
      "ExportAllDeclaration",
    ];
    if (path === "cli.ts") allowed.push("ExpressionStatement", "IfStatement");
    return {
      Program(program) {
        for (const node of program.body) {
          const isDeclaration = node.type === "ExportNamedDeclaration" &&
            node.declaration;
          if (allowed.includes(node.type) && !isDeclaration) continue;
          context.report({
            node,
            message: `${path} holds no logic: move this to src/`,
          });
        }
      },
    };
  },
};

const silentLibrary: Deno.lint.Rule = {
  create(context) {
    const file = sourceOf(pathOf(pathToFileURL(context.filename).href));
    if (file === undefined || file.startsWith("cli/")) return {};
    return {
      MemberExpression(node) {
        if (node.object.type !== "Identifier" || node.object.name !== "console") return;
        context.report({ node, message: "Only the CLI prints: emit an event, or move this to src/cli/" });
      },
    };
  },
};

/** Keeps the layers of `src/`: the order of its folders, no cycles, and the one place of SQL, of each dependency and of printing. */
const plugin: Deno.lint.Plugin = {
  name: "firefly",
  rules: {
    "reading-order": readingOrder,
    "no-cycle": noCycle,
    "sql-in-store": sqlInStore,
    "dependency-home": dependencyHome,
    "entry-holds-no-logic": entryHoldsNoLogic,
    "silent-library": silentLibrary,
  },
};

export default plugin;
