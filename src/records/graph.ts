import type { Tag } from "../database/driver.ts";
import { TaskNotFound } from "../errors.ts";
import { cancelGraph, readGraph } from "../store/dependencies.ts";
import type { GraphNode } from "../task/step_record.ts";

/**
 * Reads the tasks that hang together with one.
 *
 * @throws {TaskNotFound} If there is no such task.
 */
export async function readTaskGraph(sql: Tag, id: number): Promise<GraphNode[]> {
  const rows = await readGraph(sql, id);
  if (rows.length === 0) throw new TaskNotFound(id);
  return rows.map(({ func_name: funcName, called_by: calledBy, ...node }) => ({ ...node, funcName, calledBy }));
}

/**
 * Cancels the tasks that hang together with one, and returns how many of them had not ended.
 *
 * @throws {TaskNotFound} If there is no such task.
 */
export async function cancelTaskGraph(sql: Tag, id: number): Promise<number> {
  await readTaskGraph(sql, id);
  return (await cancelGraph(sql, id)).length;
}
