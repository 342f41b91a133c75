import { SchemaMismatch, type SchemaMismatchReason } from "../errors.ts";
import { MIGRATIONS } from "../schema/migrations.ts";
import { requireSchema } from "../schema/migrator.ts";
import { type Drift, driftOf, expectedParts, indexStatement, isGrant, linesOf, originOf } from "../schema/drift.ts";
import { readDeadRows, readHolders } from "../store/health.ts";
import { hasRoles } from "../store/roles.ts";
import { readVersions } from "../store/health_tasks.ts";
import { readInvalidIndexes, readSchemaFunctions, readSchemaParts } from "../store/schema.ts";
import { type Check, counted, type Finding, found, grade, listed, ok } from "./check.ts";
import type { Target } from "./target.ts";

/** What to do about a schema that cannot be used. */
const FIXES: Readonly<Record<SchemaMismatchReason, string>> = {
  missing: "Run: firefly migrate",
  older: "Run: firefly migrate",
  newer: "Update Firefly",
  edited: "Use the release that was applied, or restore its migration",
};

const schema: Check = {
  name: "schema",
  after: ["connection", "row security"],
  async ask(target) {
    const { schema, settings } = target.options;
    try {
      await target.read((sql) => requireSchema(sql, schema));
    } catch (error) {
      if (!(error instanceof SchemaMismatch)) throw error;
      const { reason } = error;
      const isBehind = reason === "missing" || reason === "older";
      // Not a problem: the embedded server is migrated on first use.
      if (settings.embedded && isBehind) return found("skipped", `"${schema}" will be created on first use`);
      const value = reason === "missing" ? `"${schema}" does not exist yet` : error.message;
      return found("wrong", value, FIXES[reason]);
    }
    const newest = Math.max(...await target.read(readVersions));
    const value = `"${schema}" is at version ${newest}`;
    return newest > MIGRATIONS.length
      ? found("note", `${value}, this release knows ${MIGRATIONS.length}`, "Update Firefly here when you can")
      : ok(value);
  },
};

/** Reads the differences from this release's schema; undefined if a later release made the schema. */
async function readDrift(target: Target): Promise<Drift[] | undefined> {
  const { schema } = target.options;
  return await target.read(async (sql) => {
    if (Math.max(...await readVersions(sql)) > MIGRATIONS.length) return undefined;
    const functions = await readSchemaFunctions(sql);
    const lines = linesOf(await readSchemaParts(sql), { functions, schema });
    return driftOf(lines, expectedParts({ roles: await hasRoles(sql) }));
  });
}

const LATER = "not compared, as the schema is from a later release";

const drift: Check = {
  name: "drift",
  after: ["schema", "schema name"],
  async ask(target) {
    const drifts = (await readDrift(target))?.filter(({ name }) => !name.startsWith("index "));
    if (!drifts) return found("note", LATER);
    if (drifts.length === 0) return ok("tables, functions and triggers match the migrations");
    const named = drifts.map(({ name, missing }) => `${name} is ${missing ? "missing" : "changed"}`);
    const advice = drifts.slice(0, 5).map((part) => {
      if (isGrant(part)) return `Restore ${part.name}: firefly migrate --roles`;
      const origin = originOf(part);
      const change = part.missing || part.name.startsWith("function ")
        ? ""
        : `: it is "${part.found}", but should be "${part.expected}"`;
      return `Restore ${part.name}${origin ? ` as in ${origin}` : ""}${change}`;
    });
    return found("wrong", listed(named, 3), ...advice);
  },
};

const indexes: Check = {
  name: "indexes",
  after: ["schema"],
  async ask(target) {
    const { schema } = target.options;
    const drifts = (await readDrift(target))?.filter(({ name }) => name.startsWith("index "));
    const invalid = await target.read(readInvalidIndexes);
    const quoted = (name: string) => `"${schema}"."${name}"`;
    const advice = [
      ...invalid.map(({ name }) => `Rebuild it: REINDEX INDEX CONCURRENTLY ${quoted(name)}, or drop it`),
      ...(drifts ?? []).map((part) => {
        const name = part.name.split(".")[1]!;
        const statement = indexStatement(name, schema);
        if (!statement) return `Restore the constraint ${name} as in ${originOf(part) ?? "the migrations"}`;
        return part.missing ? statement : `Drop it, then: ${statement}`;
      }),
    ];
    const named = [
      ...invalid.map(({ name }) => `${name} is invalid`),
      ...(drifts ?? []).map(({ name, missing }) => `${name.split(".")[1]} is ${missing ? "missing" : "changed"}`),
    ];
    if (named.length > 0) return found("wrong", listed(named), ...advice);
    return drifts ? ok("all exist and are valid") : found("note", LATER);
  },
};

/** How long a transaction may hold back vacuum, in seconds; and in transactions, where the time is unknown. */
const HELD = { warning: 300, wrong: 3_600 };
const HELD_TRANSACTIONS = { warning: 1_000_000, wrong: 50_000_000 };

const vacuum: Check = {
  name: "oldest transaction",
  after: ["connection"],
  async ask(target) {
    const { holders, hidden } = await target.read(readHolders);
    const blind = hidden > 0 ? `; ${counted(hidden, "session")} hidden from this role` : "";
    const graded = holders.map((holder) => ({ holder, verdict: gradeHolder(holder) }));
    const bad = graded.filter(({ verdict }) => verdict !== "ok");
    const [oldest] = holders;
    if (bad.length === 0) {
      return ok(`${oldest?.seconds ? `${Math.round(oldest.seconds)} s old` : "none open"}${blind}`);
    }
    const verdict = bad.some(({ verdict }) => verdict === "wrong") ? "wrong" : "warning";
    const named = bad.map(({ holder: { kind, name, seconds, transactions, application, user, state } }) => {
      const age = seconds === null ? `for ${transactions} transactions` : `for ${Math.round(seconds)} s`;
      return kind === "transaction"
        ? `process ${name} of ${user} (${application}, ${state}) ${age}`
        : `${kind} ${name} ${age}`;
    });
    const fixes = bad.map(({ holder: { kind, name } }) =>
      kind === "transaction"
        ? `End it: SELECT pg_terminate_backend(${name})`
        : kind === "prepared"
        ? `End it: ROLLBACK PREPARED '${name.replaceAll("'", "''")}'`
        : `Let its reader catch up, or drop it: SELECT pg_drop_replication_slot('${name}')`
    );
    return found(verdict, `vacuum is held back by ${listed(named, 2)}${blind}`, ...fixes);
  },
};

/** Grades a transaction, prepared transaction or slot that holds back vacuum. */
export function gradeHolder(holder: { seconds: number | null; transactions: number }): "ok" | "warning" | "wrong" {
  if (holder.seconds !== null) return grade(holder.seconds, HELD);
  return grade(holder.transactions, HELD_TRANSACTIONS);
}

const dead: Check = {
  name: "dead rows",
  after: ["schema"],
  async ask(target) {
    const tables = await target.read(readDeadRows);
    const many = tables.filter(({ dead, bound }) => dead >= 5 * bound);
    const off = tables.filter(({ autovacuum }) => !autovacuum);
    if (many.length + off.length === 0) return ok(`${tables.reduce((sum, { dead }) => sum + dead, 0)} in all tables`);
    const value = [
      ...many.map(({ table, dead }) => `${table} has ${dead}`),
      ...off.map(({ table }) => `autovacuum is off for ${table}`),
    ];
    const name = (table: string) => `"${target.options.schema}".${table}`;
    return found(
      off.length > 0 || many.some(({ dead, bound }) => dead >= 50 * bound) ? "wrong" : "warning",
      listed(value),
      ...off.map(({ table }) => `Turn on autovacuum: ALTER TABLE ${name(table)} RESET (autovacuum_enabled)`),
      ...(many.length === 0
        ? []
        : [`Remove them, once no old transaction holds them back: firefly vacuum ${
          many.map(({ table }) => table).join(" ")
        }`]),
    ) satisfies Finding;
  },
};

/** The checks of the schema and the upkeep of its tables. */
export const SCHEMA_CHECKS: readonly Check[] = [schema, drift, indexes, vacuum, dead];
