import type { TestDatabase } from "../../support/database.ts";
import type { Killed } from "./lane.ts";
import type { Expected } from "./workflow_tasks.ts";

/** In which tables nothing is left once all tasks have ended. */
const EMPTY = ["claim_batch", "ended", "ready", "signal", "slot", "unique_key", "waiting"];

/** Looks at what workflows that have ended leave behind. */
export async function inspect(
  db: Pick<TestDatabase, "sql">,
  workflows: Readonly<Record<string, Expected>>,
): Promise<Pick<Killed, "workflows" | "interrupted" | "wrong">> {
  const rows = await db.sql`
    SELECT id::int, func_name, status, errors::text,
      COALESCE(rescues, 0) AS rescues,
      to_json(ARRAY(SELECT name FROM step_ledger WHERE task_id = task.id ORDER BY name COLLATE "C"))::text AS effects,
      to_json(ARRAY(SELECT name FROM firefly.step WHERE task_id = task.id ORDER BY seq, name))::text AS steps,
      to_json(ARRAY(SELECT seq FROM firefly.step WHERE task_id = task.id ORDER BY seq))::text AS seqs
    FROM firefly.task
    WHERE func_name = ANY (string_to_array(${Object.keys(workflows).join()}, ','))
    ORDER BY id
  `;
  const wrong: string[] = [];
  for (const { id, func_name, status, errors, ...lists } of rows) {
    const [effects, steps, seqs] = [lists.effects, lists.steps, lists.seqs].map((list) => JSON.parse(list));
    const expected = workflows[func_name]!;
    const last = expected.steps.length - expected.parallel;
    const inOrder = [...steps.slice(0, last), ...steps.slice(last).toSorted()];
    const wants = [expected.effects.toSorted(), expected.steps, expected.steps.map((_, i) => i + 1)];
    if (
      status === (expected.status ?? "completed") && JSON.stringify([effects, inOrder, seqs]) === JSON.stringify(wants)
    ) continue;
    wrong.push(`task ${id} is ${status}, wrote ${effects}, has steps ${steps} (${seqs}), errors ${errors}`);
  }
  for (const { id, func_name, status } of await db.sql`SELECT * FROM firefly.task WHERE status <> 'completed'`) {
    if (!workflows[func_name]) wrong.push(`task ${id} ${func_name} is ${status}`);
  }
  for (const table of EMPTY) {
    const { count } = await db.sql`SELECT FROM firefly.${db.sql(table)}`;
    if (count > 0) wrong.push(`${count} rows are left in ${table}`);
  }
  const strays = await db.sql`
    SELECT FROM firefly.step WHERE NOT EXISTS (SELECT FROM firefly.task WHERE task.id = step.task_id)
  `;
  if (strays.count > 0) wrong.push(`${strays.count} steps have no task`);
  const open = await db.sql`SELECT FROM firefly.step WHERE status = 'waiting'`;
  if (open.count > 0) wrong.push(`${open.count} steps of tasks that have ended wait`);
  const untold = await db.sql`SELECT FROM firefly.dependency WHERE status IS DISTINCT FROM 'completed'`;
  if (untold.count > 0) wrong.push(`${untold.count} dependencies are not told`);
  return { workflows: rows.length, interrupted: rows.reduce((sum, { rescues }) => sum + rescues, 0), wrong };
}
