import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { ConnectionSettings } from "../database/settings.ts";
import type { Tag } from "../database/driver.ts";
import { codeOf, LOCK_NOT_AVAILABLE } from "../database/error_codes.ts";
import { quoteIdentifier, quoteLiteral } from "../database/identifiers.ts";
import { FireflyError, SchemaMismatch } from "../errors.ts";
import { type Migration, MIGRATIONS } from "./migrations.ts";
import { Session } from "../database/session.ts";
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

/** A lock was not to be had in time, or only by a deadlock: both pass. */
const LOCKED_OUT = [LOCK_NOT_AVAILABLE, "40P01"];
const LOCK_TRIES = 10;
const LOCK_TIMEOUT = 120_000;
/** How long the server may take for its first answer, in milliseconds. */
const CONNECT_DEADLINE = 5_000;

/** The SQL of a migration in the schema of the user's choice; the files name it `"firefly"` and `'firefly'`. */
export function migrationText(sql: string, schema: string): string {
  return sql.replaceAll('"firefly"', () => quoteIdentifier(schema)).replaceAll("'firefly'", () => quoteLiteral(schema));
}

/** All that {@linkcode migrate} would run on a database without Firefly, as text for `psql`. */
export function pendingText(states: MigrationState[], schema: string): string {
  const pending = MIGRATIONS.filter(({ version }) => !states.find((state) => state.version === version)?.applied);
  const parts = pending.map((migration) => {
    const text = migrationText(`${migration.sql.trim()}\n\n${recordText(migration)}`, schema);
    const whole = migration.transaction === false ? text : `BEGIN;\n\n${text}\nCOMMIT;`;
    return `-- ${migration.version} ${migration.name}\n\n${whole}\n`;
  });
  return [`${migrationText(BOOTSTRAP, schema)}\n`, ...parts].join("\n");
}

/** What notes that a migration was applied. */
function recordText({ version, name, sql, oldest = 1 }: Migration): string {
  return `INSERT INTO "firefly".migration (version, name, checksum, oldest)
VALUES (${version}, '${name}', '${checksumOf(sql)}', ${oldest});`;
}

const BOOTSTRAP = `CREATE SCHEMA IF NOT EXISTS "firefly";
CREATE TABLE IF NOT EXISTS "firefly".migration (
  version integer PRIMARY KEY,
  name text NOT NULL,
  checksum text NOT NULL,
  -- A package that knows only migrations below this one must not work with the schema any more.
  oldest integer NOT NULL,
  applied timestamptz NOT NULL DEFAULT now()
);`;

/** Every migration that this package knows, and whether it was applied. */
export async function migrationStates(
  sql: Tag,
  migrations: readonly Migration[] = MIGRATIONS,
): Promise<MigrationState[]> {
  const applied = await readApplied(sql);
  return migrations.map(({ version, name }) => ({
    version,
    name,
    applied: applied.find((row) => row.version === version)?.applied ?? null,
  }));
}

/**
 * Checks that the schema is one that this package can work with.
 *
 * @throws {SchemaMismatch} If it is missing, too old or too new, or if a migration was changed after it was applied.
 */
export async function requireSchema(
  sql: Tag,
  schema: string,
  migrations: readonly Migration[] = MIGRATIONS,
): Promise<void> {
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
 * Applies what is missing, under a lock, so that any number of processes may call it at once; resolves to what it
 * applied.
 *
 * @throws {SchemaMismatch} If the schema is newer than this package can work with, or if a migration was changed.
 */
export async function migrate(
  settings: ConnectionSettings,
  schema: string,
  onProgress: (message: string) => void = () => {},
  migrations: readonly Migration[] = MIGRATIONS,
): Promise<MigrationState[]> {
  const [session, holder] = [new Session(settings), new Session(settings)];
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
    // What is new is not the roles' yet, and a function that was replaced no longer acts as its owner.
    if (done.length > 0 && await hasRoles(sql)) await run(`BEGIN; ${grantsText(schema)} COMMIT`);
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
    // CREATE INDEX CONCURRENTLY and its like must each be a statement, and a transaction, of its own.
    for (const statement of text.split(/;\s*$/m)) if (statement.trim()) await run(statement);
    return void await run(migrationText(recordText(migration), schema));
  }
  for (let attempt = 1;; attempt++) {
    // Waiting for a lock on a busy table makes everyone else wait behind: give way soon and try again.
    await run("BEGIN; SET LOCAL lock_timeout = '2s'");
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
/**
 * Locks until the session is discarded, by a transaction that does nothing else: the lock of a session would outlive it
 * on a pooler's connection. Polls: a waiter that is blocked on the lock would hold a snapshot, which CREATE INDEX
 * CONCURRENTLY waits for.
 */
export async function lockMigrations(holder: Session, onProgress: (message: string) => void): Promise<void> {
  const begin = "BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0";
  await holder.run((client) => client.unsafe(begin), CONNECT_DEADLINE);
  const started = performance.now();
  for (let tries = 0;; tries++) {
    // By the simple protocol: the other one keeps its portal, and with it a snapshot, until the next statement.
    const [row] = await holder.run<{ locked: boolean }>((client) =>
      client.unsafe("SELECT pg_try_advisory_xact_lock(hashtextextended('firefly:migrate', 0)) AS locked")
    );
    if (row!.locked) return;
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
