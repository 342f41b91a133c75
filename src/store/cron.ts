import type { Tag } from "../database/driver.ts";
import { toNumber } from "./rows.ts";
import type { NewTask } from "./new_task.ts";

/** A cron as a consumer registers it. */
export interface NewCron {
  name: string;
  /** The name and the aliases. */
  names: string[];
  expression: string;
  timezone: string;
  missed: "skip" | "one" | "all";
  /** The row that a slot inserts. */
  task: NewTask;
  /** Everything above that decides when it runs and what it inserts: only consumers with the stored definition fire it. */
  definition: string;
}

/** A registered cron. */
export interface RegisteredCron {
  name: string;
  /** Slots up to this time were fired, or never will be. */
  after: Date;
  /** The database's time. */
  at: Date;
}

/**
 * Stores the crons of a consumer that starts, and removes the stored crons of its other `names`. With `onlyAbandoned`, it
 * leaves a stored cron as it is if the consumer of its row lives.
 */
export async function registerCrons(
  sql: Tag,
  { consumerId, names, crons, onlyAbandoned = false }: {
    consumerId: string;
    names: string[];
    crons: NewCron[];
    onlyAbandoned?: boolean;
  },
): Promise<RegisteredCron[]> {
  return await sql<RegisteredCron>`
    SELECT name, after, at
    FROM ${sql.schema}._register_crons(
      ${consumerId}::uuid, ${names}::text[], ${JSON.stringify(crons)}::text::json, ${onlyAbandoned}::boolean
    )
  `;
}

/**
 * Schedules a task for each of `slots` that has come and was not fired yet, if `definition` is still the stored one.
 * Stores `traceparent` with each. Resolves to how many it scheduled, and to the database's time.
 */
export async function fireCron(
  sql: Tag,
  { name, definition, slots, traceparent = null }: {
    name: string;
    definition: string;
    slots: readonly Date[];
    traceparent?: string | null;
  },
): Promise<{ fired: number; at: Date }> {
  const times = slots.map((slot) => slot.toISOString());
  const [row] = await sql<{ fired: number; at: Date }>`
    SELECT fired, at
    FROM ${sql.schema}._fire_cron(${name}, ${definition}, ${times}::text[]::timestamptz[], ${traceparent}::text)
  `;
  return row!;
}

/** Makes the consumer an owner of the crons whose definition it shares; resolves to the names of crons without a live owner. */
export async function ownCrons(
  sql: Tag,
  { consumerId, crons }: { consumerId: string; crons: readonly Pick<NewCron, "name" | "definition">[] },
): Promise<Set<string>> {
  const [names, definitions] = [crons.map(({ name }) => name), crons.map(({ definition }) => definition)];
  const rows = await sql`
    SELECT name FROM ${sql.schema}._own_crons(${consumerId}::uuid, ${names}::text[], ${definitions}::text[]) AS name
  `;
  return new Set(rows.map(({ name }) => name));
}

/** Reads the database's time. */
export async function readClock(sql: Tag): Promise<Date> {
  const [row] = await sql<{ at: Date }>`SELECT now() AS at`;
  return row!.at;
}

/** Deletes the slots of each cron except the last hundred, up to 1,000 a cron and call; resolves to how many. */
export async function pruneCronSlots(sql: Tag): Promise<number> {
  const rows = await sql`
    DELETE FROM ${sql.schema}.cron_slot
    WHERE ctid = ANY (ARRAY(
      SELECT old.place
      FROM ${sql.schema}.cron, LATERAL (
        SELECT cron_slot.ctid AS place
        FROM ${sql.schema}.cron_slot
        WHERE cron_slot.cron = cron.name AND cron_slot.slot < (
          SELECT slot FROM ${sql.schema}.cron_slot WHERE cron_slot.cron = cron.name ORDER BY slot DESC OFFSET 99 LIMIT 1
        )
        ORDER BY cron_slot.slot
        LIMIT 1000
        FOR UPDATE SKIP LOCKED
      ) AS old
    ))
  `;
  return rows.count;
}

/** A cron as it is stored. */
export interface CronRow {
  name: string;
  expression: string;
  timezone: string;
  missed: "skip" | "one" | "all";
  queue: string;
  state: "active" | "paused" | "orphaned";
  lastSlot: Date | null;
  lastTaskId: number | null;
  lastStatus: string | null;
  /** The database's time. */
  at: Date;
}

/** Lists all crons, or the one called `name`, by name. */
export async function listCrons(sql: Tag, name: string | null = null): Promise<CronRow[]> {
  const rows = await sql`
    SELECT name, expression, timezone, missed, queue, state, last_slot, last_task_id, last_status, now() AS at
    FROM ${sql.schema}.cron_record
    WHERE ${name}::text IS NULL OR name = ${name}
    ORDER BY name
  `;
  return rows.map(({ last_slot, last_task_id, last_status, ...row }) => ({
    ...row,
    lastSlot: last_slot,
    lastTaskId: last_task_id === null ? null : toNumber(last_task_id),
    lastStatus: last_status,
  })) as CronRow[];
}

/** Pauses a cron; false if it was paused already or does not exist. */
export async function pauseCron(sql: Tag, name: string): Promise<boolean> {
  const [row] = await sql`SELECT ${sql.schema}.pause_cron(${name}) AS done`;
  return row!.done;
}

/** Resumes a paused cron, without the slots that it missed; false if it was not paused or does not exist. */
export async function resumeCron(sql: Tag, name: string): Promise<boolean> {
  const [row] = await sql`SELECT ${sql.schema}.resume_cron(${name}) AS done`;
  return row!.done;
}

/** Schedules the task of a cron now; resolves to its id. */
export async function runCron(sql: Tag, name: string): Promise<number> {
  const [row] = await sql`SELECT ${sql.schema}.run_cron(${name}) AS id`;
  return toNumber(row!.id);
}

/** Deletes an orphaned cron with its slots; false if it is not orphaned. */
export async function deleteOrphanedCron(sql: Tag, name: string): Promise<boolean> {
  const rows = await sql`
    DELETE FROM ${sql.schema}.cron
    WHERE name IN (SELECT name FROM ${sql.schema}.cron_record WHERE name = ${name} AND state = 'orphaned')
  `;
  return rows.count > 0;
}
