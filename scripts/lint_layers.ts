import { pathToFileURL } from "node:url";
import { ORDER } from "./reading_order.ts";

/** Each dependency, with the one file or folder of `src/` that may import it. */
const HOMES: Readonly<Record<string, string>> = {
  "croner": "cron.ts",
  "postgres": "driver.ts",
  "@std/cli": "cli/",
  "@std/encoding": "wire/",
  "@std/text": "suggest.ts",
};

/** The files and folders of `src/` that may hold SQL. */
const SQL_HOMES = ["store/", "migrator.ts", "database.ts", "migrations.ts"];

/** How a string begins that is an SQL statement; BEGIN and its kind hold no knowledge of tables and are not meant. */
const STATEMENT =
  /^\s*(SELECT\s|INSERT\s+INTO\s|UPDATE\s+\S+\s+SET\s|DELETE\s+FROM\s|WITH\s+\w+\s+AS\s|(CREATE|ALTER|DROP)\s+[A-Z]+\s|TRUNCATE\s|(UN)?LISTEN\s|NOTIFY\s)/;

const SQL_TAGS = ["sql", "tx"];

const ROOT = new URL("../", import.meta.url).href;
const FILES = Object.keys(ORDER);

/** Path from the repository's root, e.g. `src/task.ts`. */
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

const readingOrder: Deno.lint.Rule = {
  create(context) {
    const url = pathToFileURL(context.filename).href;
    const file = sourceOf(pathOf(url));
    if (file === undefined) return {};
    const position = FILES.indexOf(file);
    if (position < 0) {
      const message = `Add src/${file} to ORDER in scripts/reading_order.ts`;
      return { Program: (node) => context.report({ node, message }) };
    }
    return onImport((source) => {
      if (!source.value.startsWith(".")) return;
      const target = pathOf(new URL(source.value, url).href);
      const index = FILES.indexOf(sourceOf(target) ?? "");
      if (index >= 0 && index < position) return;
      const message = index < 0
        ? `${target} is not in ORDER of scripts/reading_order.ts`
        : `${target} stands below src/${file} in ORDER of scripts/reading_order.ts`;
      context.report({ node: source, message });
    });
  },
};

const sqlInStore: Deno.lint.Rule = {
  create(context) {
    const path = pathOf(pathToFileURL(context.filename).href);
    const file = sourceOf(path);
    const isOurs = file !== undefined || path === "mod.ts" || path === "cli.ts";
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
    if (file === path && path !== "mod.ts" && path !== "cli.ts") return {};
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

/** `mod.ts` only exports; `cli.ts` only imports the program and starts it. */
const entryHoldsNoLogic: Deno.lint.Rule = {
  create(context) {
    const path = pathOf(pathToFileURL(context.filename).href);
    if (path !== "mod.ts" && path !== "cli.ts") return {};
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

/** Keeps the layers of `src/`: its reading order, and the one place of SQL, of each dependency and of printing. */
const plugin: Deno.lint.Plugin = {
  name: "firefly",
  rules: {
    "reading-order": readingOrder,
    "sql-in-store": sqlInStore,
    "dependency-home": dependencyHome,
    "entry-holds-no-logic": entryHoldsNoLogic,
    "silent-library": silentLibrary,
  },
};

export default plugin;
