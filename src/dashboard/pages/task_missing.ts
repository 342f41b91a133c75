import type { Page, PageContext } from "../context.ts";
import { markup } from "../html.ts";
import { lone } from "../layout.ts";

/** The page of a task that has no record. */
export function missing(context: PageContext, id: string): Page {
  const title = /^\d+$/.test(id) ? `There is no task ${id}` : "There is no such task";
  const body = lone(
    title,
    markup`<p>Its record was deleted or pruned, or there was never one.</p>`,
    markup`<a class="button" href="${context.href("/tasks")}">To the tasks</a>`,
  );
  return { title, current: "tasks", body, status: 404 };
}
