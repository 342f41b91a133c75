import { pathToFileURL } from "node:url";

/**
 * The files of `src/` in reading order, each with what it holds. A file
 * imports only files above it, so this is at once the table of contents and
 * the proof that there are no import cycles.
 */
export const ORDER: Readonly<Record<string, string>> = {
  "errors.ts": "every error class",
  "version.ts": "the package's version",
  "suggest.ts": "did you mean: refuses options that do not exist",
  "duration.ts": `"5m" → seconds`,
  "storable.ts": "which types of values a task may take and return",
  "sql.ts": "the SQL tag as users and the store see it",
  "wire/format.ts": "tags and limits of the wire format",
  "wire/base64.ts": "bytes ⇄ Base64",
  "wire/brand.ts": "what structured cloning sees in an object",
  "wire/places.ts": "where the node of each object stands",
  "wire/encode_simple.ts": "values without parts → nodes",
  "wire/encode_buffers.ts": "buffers and their views → nodes",
  "wire/encode_containers.ts": "values with parts → nodes",
  "wire/encode.ts": "value → Base64",
  "wire/decode_simple.ts": "nodes → values without parts",
  "wire/decode_buffers.ts": "nodes → buffers and their views",
  "wire/decode_containers.ts": "nodes → values with parts",
  "wire/decode.ts": "Base64 → value",
  "projection.ts": "any value → what JSON can hold",
  "backoff.ts": "delay before the next attempt",
  "record.ts": "TaskRecord: one scheduled task as users see it",
  "explanation.ts": "why a task does not run, as users are told",
  "standard_schema.ts": "the interface of schema libraries",
  "validation.ts": "arguments and results against a schema",
  "options.ts": "the options of a task and of one call",
  "cron.ts": "when a cron comes",
  "definition.ts": "the options of a task, checked",
  "retention.ts": "how long records are kept, in seconds",
  "limits.ts": "the keys that a task's limits count by",
  "scope.ts": "the registry and the instance in charge",
  "context.ts": "current(): what a handler knows of its attempt",
  "task.ts": "task(): a handler becomes a task",
  "local_postgres.ts": "PostgreSQL's binaries as the machine has them",
  "npm_postgres.ts": "PostgreSQL's binaries from npm",
  "postmaster.ts": "starts and watches a PostgreSQL server",
  "embedded.ts": "the default server",
  "connection.ts": "the database URL → connection settings",
  "migrations.ts": "generated from migrations/*.sql",
  "arrays.ts": "PostgreSQL's arrays ⇄ lists",
  "driver.ts": "the driver's clients, errors and tags",
  "database.ts": "pools of connections for single statements",
  "session.ts": "one connection for one transaction",
  "transaction.ts": "begin, savepoint, commit on a session",
  "migrator.ts": "applies the migrations under a lock",
  "store/rows.ts": "rows as the driver gives them",
  "store/schedule.ts": "inserts tasks",
  "store/definitions.ts": "what the database knows of definitions",
  "store/limits.ts": "slots of limited tasks: takes, waits for, gives back",
  "store/waiting.ts": "moves tasks whose time has come, and those that nobody knows",
  "store/claim.ts": "takes due tasks",
  "store/settle.ts": "ends attempts",
  "store/consumers.ts": "consumers and their leases: register, renew, bury, rescue",
  "store/unique.ts": "who holds a unique key",
  "store/records.ts": "looks up, lists and counts tasks",
  "store/bulk.ts": "cancels, retries and deletes tasks",
  "store/prune.ts": "deletes records that were kept for long enough",
  "store/queues.ts": "the state of queues; pauses and resumes them",
  "store/explain.ts": "asks why a task does not run",
  "store/cron.ts": "registers crons, fires and prunes their slots, lists them",
  "store/listen.ts": "LISTEN and the names of the channels",
  "events.ts": "what instances and consumers report",
  "middleware.ts": "what surrounds an attempt, layer by layer",
  "hooks.ts": "what users hang around attempts: middleware, onFailed",
  "outages.ts": "tells of what fails, once until it works again",
  "wakeup.ts": "a sleep that others may end",
  "listener.ts": "one connection that listens for everybody",
  "unique.ts": "what makes a call a twin of another → columns",
  "scheduling.ts": "a call → rows to insert",
  "failure.ts": "what is stored of an error",
  "admission.ts": "lets limited tasks in when there are slots",
  "settler.ts": "ends attempts in batches",
  "progress.ts": "stores how far a handler is, now and then",
  "handler_call.ts": "calls a handler: decode, check, time-box",
  "verdict.ts": "what becomes of a task whose attempt threw",
  "attempt.ts": "one attempt: call, then settle by what came of it",
  "unslotted.ts": "claimed tasks that must wait for their slots",
  "claims.ts": "what a consumer holds",
  "batch.ts": "how many tasks to hold",
  "cancellation.ts": "looks for cancelled tasks where nobody rings",
  "lease.ts": "a consumer's place among the living",
  "maintenance.ts": "bury, rescue, park the unknown, prune, put back strays",
  "cron_timer.ts": "schedules tasks when their slots come",
  "consumer.ts": "the loop: claim, run, drain",
  "consume.ts": "a consumer's options, start and stop",
  "results.ts": "waits for results",
  "watch.ts": "a record's changes, one after another",
  "stored_task.ts": "a row → TaskRecord, and what it can do",
  "records.ts": "the records of an instance: find, list, count, retry, cancel, delete",
  "prune.ts": "one walk over all records that deletes the old ones",
  "instance.ts": "connects, and wires everything above together",
  "firefly.ts": "Firefly, configure(), transaction(): the instance as users see it",
  "config.ts": "what firefly.config.ts exports",
  "cli/escape.ts": "text that is safe to show",
  "cli/json.ts": "any value → a line of JSON",
  "cli/times.ts": "times and ages for people",
  "cli/terminal.ts": "stdout, stderr, colours",
  "cli/table.ts": "rows → aligned lines",
  "cli/arguments.ts": "flags → typed values",
  "cli/command.ts": "what a command is, and the flags of all of them",
  "cli/exit_code.ts": "how the program ends",
  "cli/help.ts": "commands → help",
  "cli/discovery.ts": "finds the configuration and the tasks",
  "cli/settings.ts": "flags and configuration → instance",
  "cli/filter.ts": "flags → which tasks",
  "cli/progress_line.ts": "one line on a terminal that changes",
  "cli/log.ts": "the consumer's log",
  "cli/consumer_log.ts": "events → entries of the log",
  "cli/record_page.ts": "a record in full",
  "cli/consume.ts": "runs tasks until it is told to stop",
  "cli/migrate.ts": "creates or updates the schema",
  "cli/schedule.ts": "schedules a task, and waits for it",
  "cli/list.ts": "lists records",
  "cli/follow.ts": "shows a record whenever it changes",
  "cli/show.ts": "shows a record",
  "cli/explain.ts": "tells why a task does not run",
  "cli/retry.ts": "schedules failed tasks again",
  "cli/cancel.ts": "cancels tasks",
  "cli/delete.ts": "deletes records",
  "cli/prune.ts": "deletes records that were kept for long enough",
  "cli/queues.ts": "shows queues",
  "cli/pause.ts": "pauses and resumes queues",
  "cli/tasks.ts": "shows what is defined",
  "cli/cron.ts": "lists, pauses and runs crons",
  "cli/db.ts": "the embedded server",
  "cli/main.ts": "the command line → a command",
};

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
      const message = `Add src/${file} to ORDER in scripts/lint_layers.ts`;
      return { Program: (node) => context.report({ node, message }) };
    }
    return onImport((source) => {
      if (!source.value.startsWith(".")) return;
      const target = pathOf(new URL(source.value, url).href);
      const index = FILES.indexOf(sourceOf(target) ?? "");
      if (index >= 0 && index < position) return;
      const message = index < 0
        ? `${target} is not in ORDER of scripts/lint_layers.ts`
        : `${target} stands below src/${file} in ORDER of scripts/lint_layers.ts`;
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
