import type { Tag } from "../database/driver.ts";

/** A part of the schema: a table, a column, a domain, an index, a trigger. */
export interface SchemaPart {
  /** Its kind and name: `index ready.ready_order`. */
  readonly name: string;
  /** Its decisive properties, in words that are the same for every version of PostgreSQL. */
  readonly definition: string;
}

/** A function of the schema. */
export interface SchemaFunction extends SchemaPart {
  /** The source of its body. */
  readonly body: string;
}

/**
 * Reads the tables, columns, domains, constraints, triggers and indexes of the schema. The server's own descriptions differ
 * between major versions (and 18 counts NOT NULL among the constraints), so these are assembled from the catalog. Types
 * of the schema itself are named without it.
 */
export async function readSchemaParts(sql: Tag): Promise<SchemaPart[]> {
  return await sql<SchemaPart>`
    WITH home AS (
      SELECT oid FROM pg_namespace WHERE nspname = ${sql.schemaName}
    ), relation AS (
      SELECT oid, relname, relkind, relpersistence
      FROM pg_class
      WHERE relnamespace = (SELECT oid FROM home) AND relkind IN ('r', 'p', 'v', 'm', 'c')
    ), part AS (
      SELECT 'table' AS kind, relname::text AS name, concat_ws(' ',
        CASE relkind WHEN 'v' THEN 'view' WHEN 'c' THEN 'type' WHEN 'm' THEN 'materialized' ELSE 'table' END,
        CASE relpersistence WHEN 'u' THEN 'unlogged' END
      ) AS definition
      FROM relation
      UNION ALL
      SELECT 'column', relation.relname || '.' || attname, concat_ws(' ',
        CASE WHEN typnamespace = (SELECT oid FROM home) THEN typname::text ELSE format_type(atttypid, atttypmod) END,
        CASE WHEN attnotnull THEN 'not null' END,
        CASE WHEN attidentity <> '' THEN 'identity' WHEN attgenerated <> '' THEN 'generated' WHEN atthasdef THEN 'default' END
      )
      FROM relation
      JOIN pg_attribute ON attrelid = relation.oid AND attnum > 0 AND NOT attisdropped
      JOIN pg_type ON pg_type.oid = atttypid
      UNION ALL
      SELECT 'constraint', relation.relname || '.' || conname, concat_ws(' ',
        CASE contype WHEN 'p' THEN 'primary key' WHEN 'u' THEN 'unique' WHEN 'f' THEN 'foreign key' ELSE 'check' END,
        (
          SELECT '(' || string_agg(attname, ', ' ORDER BY attname) || ')'
          FROM pg_attribute
          WHERE attrelid = conrelid AND attnum = ANY (conkey)
        )
      )
      FROM relation
      JOIN pg_constraint ON conrelid = relation.oid AND contype IN ('p', 'u', 'f', 'c')
      UNION ALL
      SELECT 'domain', typname::text, concat_ws(' ',
        format_type(typbasetype, typtypmod),
        (SELECT string_agg(conname, ', ' ORDER BY conname) FROM pg_constraint WHERE contypid = pg_type.oid AND contype = 'c')
      )
      FROM pg_type
      WHERE typnamespace = (SELECT oid FROM home) AND typtype = 'd'
      UNION ALL
      SELECT 'trigger', relation.relname || '.' || tgname, concat_ws(' ',
        tgtype::text, proname::text, CASE tgenabled WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'on replicas only' END
      )
      FROM relation
      JOIN pg_trigger ON tgrelid = relation.oid AND NOT tgisinternal
      JOIN pg_proc ON pg_proc.oid = tgfoid
      UNION ALL
      SELECT 'index', relation.relname || '.' || class.relname, concat_ws(' ',
        CASE WHEN indisunique THEN 'unique' END,
        (
          SELECT '(' || string_agg(
            pg_get_indexdef(indexrelid, place, true) || CASE indoption[place - 1] & 1 WHEN 1 THEN ' desc' ELSE '' END,
            ', ' ORDER BY place
          ) || ')'
          FROM generate_series(1, indnkeyatts) AS place
        ),
        CASE WHEN indpred IS NOT NULL THEN 'partial' END
      )
      FROM relation
      JOIN pg_index ON indrelid = relation.oid
      JOIN pg_class AS class ON class.oid = indexrelid
    )
    SELECT kind || ' ' || name AS name, definition
    FROM part
    ORDER BY kind, part.name COLLATE "C"
  `;
}

/** Reads the functions of the schema. */
export async function readSchemaFunctions(sql: Tag): Promise<SchemaFunction[]> {
  return await sql<SchemaFunction>`
    WITH home AS (
      SELECT oid FROM pg_namespace WHERE nspname = ${sql.schemaName}
    ), function AS (
      SELECT proname, prosrc, provolatile, prosecdef, proisstrict, proconfig, (
        SELECT COALESCE(string_agg(
          CASE WHEN typnamespace = (SELECT oid FROM home) THEN typname::text ELSE format_type(pg_type.oid, NULL) END,
          ', ' ORDER BY place
        ), '')
        FROM unnest(proargtypes) WITH ORDINALITY AS argument (type, place)
        JOIN pg_type ON pg_type.oid = argument.type
      ) AS arguments, (
        SELECT CASE WHEN typnamespace = (SELECT oid FROM home) THEN typname::text ELSE format_type(prorettype, NULL) END
        FROM pg_type
        WHERE pg_type.oid = prorettype
      ) AS returned
      FROM pg_proc
      WHERE pronamespace = (SELECT oid FROM home)
    )
    SELECT 'function ' || proname || '(' || arguments || ')' AS name, concat_ws(' ',
      returned,
      CASE provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' END,
      CASE WHEN proisstrict THEN 'strict' END,
      CASE WHEN prosecdef THEN 'security definer' END,
      (SELECT 'set ' || string_agg(split_part(setting, '=', 1), ', ') FROM unnest(proconfig) AS setting)
    ) AS definition, prosrc AS body
    FROM function
    ORDER BY proname COLLATE "C", arguments COLLATE "C"
  `;
}

/** Reads the invalid indexes of the schema: the server failed to build them and does not use them. */
export async function readInvalidIndexes(sql: Tag): Promise<{ name: string; table: string; unique: boolean }[]> {
  return await sql<{ name: string; table: string; unique: boolean }>`
    SELECT class.relname AS name, relation.relname AS table, indisunique AS unique
    FROM pg_index
    JOIN pg_class AS class ON class.oid = indexrelid
    JOIN pg_class AS relation ON relation.oid = indrelid
    JOIN pg_namespace ON pg_namespace.oid = class.relnamespace
    WHERE nspname = ${sql.schemaName} AND NOT (indisvalid AND indisready AND indislive)
      -- An index that is being built is not invalid.
      AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index WHERE index_relid = indexrelid)
    ORDER BY 1
  `;
}
