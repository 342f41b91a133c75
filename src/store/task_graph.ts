import type { Tag } from "../database/driver.ts";
import type { TaskState } from "../task/record.ts";
import { stateOfWaiting } from "./placed.ts";
import { toNumber } from "./rows.ts";

/** A task of a graph as its page draws it. */
export interface DrawnTask {
  readonly id: number;
  readonly funcName: string;
  readonly state: TaskState;
  readonly started: Date | null;
  readonly ended: Date | null;
  /** The tasks that it depends on, each once; a deleted one is among them. */
  readonly dependencies: readonly number[];
  /** The task whose handler scheduled it and waits for it. */
  readonly calledBy: number | null;
}

/**
 * Reads the tasks that hang together with one, up to 10,000, in the order of their ids. The states of those that have not
 * ended are looked up in `waiting` alone, as the view would take ten times as long: one that is nowhere counts as ready.
 */
export async function readDrawnTasks(sql: Tag, id: number): Promise<DrawnTask[]> {
  const rows = await sql`
    SELECT node.id, node.func_name, to_json(node.dependencies) AS dependencies, node.called_by, task.started,
      COALESCE(task.completed, task.failed, task.cancelled) AS ended, CASE
        WHEN node.status <> 'created' THEN node.status
        WHEN place.state = 'delayed' AND task.started IS NOT NULL THEN 'retrying'
        ELSE COALESCE(place.state, 'ready')
      END AS state
    FROM ${sql.schema}.graph(${id}::bigint) AS node
    CROSS JOIN LATERAL (
      SELECT task.started, task.completed, task.failed, task.cancelled, task.claim_seq
      FROM ${sql.schema}.task
      WHERE task.id = node.id
      LIMIT 1
    ) AS task
    LEFT JOIN LATERAL (
      SELECT ${stateOfWaiting(sql)} AS state
      FROM ${sql.schema}.waiting
      WHERE waiting.id = node.id AND waiting.claim_seq = task.claim_seq
      LIMIT 1
    ) AS place ON node.status = 'created'
    ORDER BY node.id
  `;
  return rows.map((row) => ({
    id: toNumber(row.id),
    funcName: row.func_name,
    state: row.state,
    started: row.started,
    ended: row.ended,
    dependencies: [...new Set<number>(row.dependencies.map(toNumber))],
    calledBy: row.called_by === null ? null : toNumber(row.called_by),
  }));
}

/** How a task is related to another: what it depends on, what depends on it, and so on. */
export type Relation = "dependency" | "dependant" | "callee" | "caller" | "origin";

/** A task that another is related to. */
export interface BesideTask {
  readonly relation: Relation;
  readonly id: number;
  /** Null if its record was deleted, as is the state. */
  readonly funcName: string | null;
  readonly state: TaskState | null;
}

/** The tasks that one is related to, and how many there are. */
export interface Beside {
  /** The first few of each relation. */
  readonly tasks: readonly BesideTask[];
  /** How many of its dependencies and callees have ended. */
  readonly ended: Readonly<Partial<Record<Relation, number>>>;
  /** How many there are; of dependants, 10,001 at most. */
  readonly all: Readonly<Partial<Record<Relation, number>>>;
}

/**
 * Reads the tasks that one is related to: the first `limit` that it depends on and that depend on it, the last that its
 * handler called, its caller, and the one that it was forked from.
 */
export async function readBeside(sql: Tag, id: number, limit: number): Promise<Beside> {
  const [rows, [counts]] = await Promise.all([
    sql`
      SELECT beside.relation, beside.id, record.func_name, record.state
      FROM (
        (
          SELECT 'dependency' AS relation, dependency_id AS id, ordinal AS place
          FROM ${sql.schema}.dependency
          WHERE task_id = ${id}::bigint AND NOT called
          ORDER BY ordinal
          LIMIT ${limit}::integer
        ) UNION ALL (
          SELECT 'callee', dependency_id, -ordinal
          FROM ${sql.schema}.dependency
          WHERE task_id = ${id}::bigint AND called
          ORDER BY ordinal DESC
          LIMIT ${limit}::integer
        ) UNION ALL (
          SELECT DISTINCT ON (task_id) CASE WHEN called THEN 'caller' ELSE 'dependant' END, task_id, 0
          FROM ${sql.schema}.dependency
          WHERE dependency_id = ${id}::bigint
          ORDER BY task_id
          LIMIT ${limit}::integer
        ) UNION ALL (
          SELECT 'origin', forked_from, 0 FROM ${sql.schema}.task WHERE id = ${id}::bigint AND forked_from IS NOT NULL
        )
      ) AS beside
      LEFT JOIN LATERAL (
        SELECT func_name, state FROM ${sql.schema}.task_record WHERE task_record.id = beside.id
      ) AS record ON true
      ORDER BY beside.relation, beside.place, beside.id
    `,
    sql`
      SELECT count(*) FILTER (WHERE NOT called)::integer AS dependencies, count(*) FILTER (WHERE called)::integer AS callees,
        count(*) FILTER (WHERE NOT called AND status IS NOT NULL)::integer AS ended_dependencies,
        count(*) FILTER (WHERE called AND status IS NOT NULL)::integer AS ended_callees, (
          SELECT count(*)::integer
          FROM (
            SELECT FROM ${sql.schema}.dependency WHERE dependency_id = ${id}::bigint AND NOT called LIMIT 10001
          ) AS dependant
        ) AS dependants
      FROM ${sql.schema}.dependency
      WHERE task_id = ${id}::bigint
    `,
  ]);
  return {
    tasks: rows.map((row) => ({
      relation: row.relation,
      id: toNumber(row.id),
      funcName: row.func_name,
      state: row.state,
    })),
    ended: { dependency: counts!.ended_dependencies, callee: counts!.ended_callees },
    all: { dependency: counts!.dependencies, callee: counts!.callees, dependant: counts!.dependants },
  };
}
