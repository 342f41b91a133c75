import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { ConnectionSettings } from "../database/settings.ts";
import type { Tag } from "../database/driver.ts";
import { codeOf, LOCK_NOT_AVAILABLE } from "../database/error_codes.ts";
import { quoteIdentifier, quoteLiteral } from "../database/identifiers.ts";
import { BEGIN_MIGRATING } from "../database/session_settings.ts";
import { FireflyError, SchemaMismatch } from "../errors.ts";
import { type Migration, MIGRATIONS } from "./migrations.ts";
import { Session } from "../database/session.ts";
import { readSecuredTables } from "../store/health_schema.ts";
import { grantsText, hasRoles } from "../store/roles.ts";

/** A migration and when it was applied to a database. */
export interface MigrationState {
  /** Its number, from 1. */
  version: number;
  /** What it is called. */
  name: string;
  /** When it was applied; null if it was not. */
  applied: Date | null;
}

interface AppliedMigration {
  version: number;
  name: string;
  checksum: string;
  oldest: number;
  applied: Date;
}

const DEADLOCK_DETECTED = "40P01";
/** The errors of a migration that could not lock a table. Both are temporary, so it is tried again. */
const LOCKED_OUT = [LOCK_NOT_AVAILABLE, DEADLOCK_DETECTED];
/** How often a migration is tried that could not lock a table. */
const LOCK_TRIES = 10;
/** How long to wait for another process that migrates, in milliseconds. */
const LOCK_TIMEOUT = 120_000;
/** How long the server may take for its first answer, in milliseconds. */
const CONNECT_DEADLINE = 5_000;

/** The SQL of a migration for a schema of any name: the files call it `"firefly"` and `'firefly'`. */
export function migrationText(sql: string, schema: string): string {
  return sql.replaceAll('"firefly"', () => quoteIdentifier(schema)).replaceAll("'firefly'", () => quoteLiteral(schema));
}

/** Everything that {@linkcode migrate} would run, as text for `psql`. */
export function pendingText(states: MigrationState[], schema: string): string {
  const pending = MIGRATIONS.filter(({ version }) => !states.find((state) => state.version === version)?.applied);
  const parts = pending.map((migration) => {
    const text = migrationText(`${migration.sql.trim()}\n\n${recordText(migration)}`, schema);
    const whole = migration.transaction === false ? text : `BEGIN;\n\n${text}\nCOMMIT;`;
    return `-- ${migration.version} ${migration.name}\n\n${whole}\n`;
  });
  return [`${migrationText(BOOTSTRAP, schema)}\n`, ...parts].join("\n");
}

/** The SQL that records a migration as applied. */
function recordText({ version, name, sql, oldest = 1 }: Migration): string {
  return `INSERT INTO "firefly".migration (version, name, checksum, oldest)
VALUES (${version}, '${name}', '${checksumOf(sql)}', ${oldest});`;
}

const BOOTSTRAP = `CREATE SCHEMA IF NOT EXISTS "firefly";
CREATE TABLE IF NOT EXISTS "firefly".migration (
  version integer PRIMARY KEY,
  name text NOT NULL,
  checksum text NOT NULL,
  -- A package that does not know this migration must not work with the schema.
  oldest integer NOT NULL,
  applied timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE "firefly".migration IS
  'A migration that was applied. Inserted by migrate, never changed or deleted.';`;

/** Lists every migration that this package knows, and when each was applied. */
export async function migrationStates(
  sql: Tag,
  migrations: readonly Migration[] = MIGRATIONS,
): Promise<MigrationState[]> {
  const applied = await readApplied(sql);
  const newest = migrations.at(-1)?.version ?? 0;
  const known = migrations.map(({ version, name }) => ({
    version,
    name,
    applied: applied.find((row) => row.version === version)?.applied ?? null,
  }));
  const newer = applied.filter(({ version }) => version > newest);
  return [...known, ...newer.map(({ version, name, applied }) => ({ version, name, applied }))];
}

/**
 * Checks that this package can work with the schema.
 *
 * @throws {SchemaMismatch} If it is missing, too old or too new, or if a migration was changed after it was applied.
 * @throws {FireflyError} If row-level security hides all rows of a table: a consumer would find no tasks.
 */
export async function requireSchema(
  sql: Tag,
  schema: string,
  migrations: readonly Migration[] = MIGRATIONS,
): Promise<void> {
  const hidden = (await readSecuredTables(sql)).filter(({ active, policies }) => active && !policies);
  if (hidden.length > 0) {
    const names = hidden.map(({ name }) => name).join(", ");
    throw new FireflyError(
      `Cannot use schema "${schema}" as row-level security hides the rows of ${names} from this role: add policies, or turn it off`,
    );
  }
  const applied = await readApplied(sql);
  checkApplied(applied, { schema, migrations });
  const missing = migrations.find(({ version }) => !applied.some((row) => row.version === version));
  if (!missing) return;
  const state = applied.length
    ? `is at version ${applied.length} and this release needs ${migrations.length}`
    : "does not exist";
  throw new SchemaMismatch(
    `Cannot use schema "${schema}" as it ${state}: run the command "migrate", or call migrate(), once per release`,
    { reason: applied.length ? "older" : "missing" },
  );
}

/**
 * Applies the migrations that are missing and resolves to them. Any number of processes may call it at once: it runs
 * under a lock.
 *
 * @throws {SchemaMismatch} If the schema is too new for this package, or if a migration was changed after it was applied.
 */
export async function migrate(
  settings: ConnectionSettings,
  schema: string,
  onProgress: (message: string) => void = () => {},
  migrations: readonly Migration[] = MIGRATIONS,
): Promise<MigrationState[]> {
  // A pooler may stand in between: each transaction sets what it needs.
  const [session, holder] = [1, 2].map(() => new Session({ ...settings, pooled: true })) as [Session, Session];
  const sql = session.tag(schema);
  const run = (text: string) => session.run((client) => client.unsafe(text));
  try {
    await session.run((client) => client`SELECT 1`, CONNECT_DEADLINE);
    await lockMigrations(holder, onProgress);
    const before = await readApplied(sql);
    checkApplied(before, { schema, migrations });
    const done: MigrationState[] = [];
    if (before.length === 0) await run(migrationText(BOOTSTRAP, schema));
    for (const migration of migrations.filter(({ version }) => !before.some((row) => row.version === version))) {
      if (holder.lost) throw holder.lost;
      onProgress(`Applying migration ${migration.version} ${migration.name}`);
      await apply(migration, { run, schema });
      done.push({ version: migration.version, name: migration.name, applied: new Date() });
    }
    // The roles have no rights on new objects yet, and a function that was replaced no longer runs as its owner.
    if (done.length > 0 && await hasRoles(sql)) await run(`${BEGIN_MIGRATING} ${grantsText(schema)} COMMIT`);
    return done;
  } finally {
    session.discard();
    holder.discard();
  }
}

interface Target {
  run(text: string): Promise<unknown>;
  schema: string;
}

async function apply(migration: Migration, { run, schema }: Target): Promise<void> {
  const text = migrationText(migration.sql, schema);
  if (migration.transaction === false) {
    // Each statement is a transaction of its own, as CREATE INDEX CONCURRENTLY and the like require.
    for (const statement of text.split(/;\s*$/m)) if (statement.trim()) await run(statement);
    return void await run(migrationText(recordText(migration), schema));
  }
  for (let attempt = 1;; attempt++) {
    // All other statements queue behind one that waits for a lock on a busy table: give up soon and try again.
    await run(`${BEGIN_MIGRATING} SET LOCAL lock_timeout = '2s'`);
    try {
      await run(text);
      await run(migrationText(recordText(migration), schema));
      await run("COMMIT");
      return;
    } catch (error) {
      await run("ROLLBACK");
      if (!LOCKED_OUT.includes(codeOf(error)) || attempt === LOCK_TRIES) throw error;
      await sleep(200 * attempt);
    }
  }
}

/**
 * Locks all migrations of the database until `holder` is discarded, with a transaction that does nothing else: a lock of
 * the session would outlive it on the connection of a pooler. It polls, and ends its transaction between two tries, since
 * CREATE INDEX CONCURRENTLY waits for the snapshot of a statement that is blocked on the lock, and may wait for the end of
 * every transaction that had a snapshot when it looked.
 */
export async function lockMigrations(holder: Session, onProgress: (message: string) => void): Promise<void> {
  const started = performance.now();
  for (let tries = 0;; tries++) {
    await holder.run((client) => client.unsafe(BEGIN_MIGRATING), CONNECT_DEADLINE);
    // In the simple protocol: the extended one keeps its portal, and with it a snapshot, until the next statement.
    const [row] = await holder.run<{ locked: boolean }>((client) =>
      client.unsafe("SELECT pg_try_advisory_xact_lock(hashtextextended('firefly:migrate', 0)) AS locked")
    );
    if (row!.locked) return;
    await holder.run((client) => client.unsafe("ROLLBACK"));
    if (tries === 0) onProgress("Another process is migrating, waiting for it");
    if (performance.now() - started > LOCK_TIMEOUT) {
      throw new FireflyError("Cannot migrate as another process has been migrating for two minutes");
    }
    await sleep(100);
  }
}

async function readApplied(sql: Tag): Promise<AppliedMigration[]> {
  const [found] =
    await sql`SELECT to_regclass(format('%I.migration', ${sql.schemaName}::text)) IS NOT NULL AS migrated`;
  if (!found!.migrated) return [];
  return await sql<AppliedMigration>`
    SELECT version, name, checksum, oldest, applied
    FROM ${sql.schema}.migration
    ORDER BY version
  `;
}

function checkApplied(
  applied: AppliedMigration[],
  { schema, migrations }: { schema: string; migrations: readonly Migration[] },
): void {
  const oldest = Math.max(0, ...applied.map((row) => row.oldest));
  if (oldest > migrations.length) {
    throw new SchemaMismatch(
      `Cannot use schema "${schema}" as it needs a release that knows migration ${oldest}, and this one knows ${migrations.length}: update the package`,
      { reason: "newer" },
    );
  }
  for (const { version, name, checksum } of applied) {
    const known = migrations.find((migration) => migration.version === version);
    if (!known || checksumOf(known.sql) === checksum) continue;
    throw new SchemaMismatch(
      `Cannot use schema "${schema}" as migration ${version} ${name} is not the one that was applied: migrations are never edited`,
      { reason: "edited" },
    );
  }
}

function checksumOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
