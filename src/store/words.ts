import type { Tag } from "../database/driver.ts";

/** Names of tasks, and queues. */
export interface Words {
  readonly names: string[];
  readonly queues: string[];
}

/** Finds those of these words that neither a record, nor a consumer, a definition, a cron or a setting has. */
export async function findUnknown(sql: Tag, { names, queues }: Words): Promise<Words> {
  const [row] = await sql`
    SELECT
      ARRAY(
        SELECT word
        FROM unnest(${names}::text[]) AS word
        WHERE NOT EXISTS (SELECT FROM ${sql.schema}.definition WHERE func_name = word)
          AND NOT EXISTS (SELECT FROM ${sql.schema}.cron WHERE word = ANY (names))
          AND NOT EXISTS (SELECT FROM ${sql.schema}.consumer WHERE word = ANY (tasks))
          AND NOT EXISTS (SELECT FROM ${sql.schema}.task WHERE func_name = word)
      ) AS names,
      ARRAY(
        SELECT word
        FROM unnest(${queues}::text[]) AS word
        WHERE NOT EXISTS (SELECT FROM ${sql.schema}.queue WHERE name = word)
          AND NOT EXISTS (SELECT FROM ${sql.schema}.definition WHERE queue = word)
          AND NOT EXISTS (SELECT FROM ${sql.schema}.consumer WHERE word = ANY (queues))
          AND NOT EXISTS (SELECT FROM ${sql.schema}.task WHERE queue = word)
      ) AS queues
  `;
  return row as Words;
}

/** Reads all names of tasks and all queues, in order, for a suggestion: it reads all records. */
export async function readWords(sql: Tag): Promise<Words> {
  const [row] = await sql`
    WITH used AS MATERIALIZED (
      SELECT DISTINCT func_name, queue FROM ${sql.schema}.task
    )
    SELECT
      ARRAY(
        SELECT func_name FROM used
        UNION SELECT func_name FROM ${sql.schema}.definition
        UNION SELECT name FROM ${sql.schema}.cron
        UNION SELECT unnest(tasks) FROM ${sql.schema}.consumer
        ORDER BY 1
      ) AS names,
      ARRAY(
        SELECT queue FROM used
        UNION SELECT name FROM ${sql.schema}.queue
        UNION SELECT queue FROM ${sql.schema}.definition WHERE queue IS NOT NULL
        UNION SELECT unnest(queues) FROM ${sql.schema}.consumer
        ORDER BY 1
      ) AS queues
  `;
  return row as Words;
}
