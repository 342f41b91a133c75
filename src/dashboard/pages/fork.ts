import { FireflyError } from "../../errors.ts";
import { readTaskPage } from "../../store/task_lists_task.ts";
import { readWholeStep, type WholeStep } from "../../store/task_steps.ts";
import { type Page, type PageContext, type Params, type Route, seeOther } from "../context.ts";
import { type Html, markup, NOTHING } from "../html.ts";
import { lone } from "../layout.ts";
import { describeFailure, failureBox } from "../parts/failures.ts";
import { hidden } from "../parts/forms.ts";
import { amount } from "../parts/numbers.ts";
import { stepIn } from "./step.ts";
import type { ShownTask } from "./task_facts.ts";
import { missing } from "./task_missing.ts";
import { keyMarkup } from "./task_steps.ts";

/** What a fork is made of. */
interface Asked {
  readonly task: ShownTask;
  readonly step: WholeStep;
}

async function ask(context: PageContext, { id }: Params): Promise<Page> {
  if (context.viewer.readOnly) return readOnlyQuestion(context, id!, "Fork");
  const asked = await find(context, id!, context.url.searchParams);
  return "task" in asked ? question(context, asked) : asked;
}

async function find(context: PageContext, id: string, fields: URLSearchParams): Promise<Asked | Page> {
  const task = /^\d{1,15}$/.test(id) ? await readTaskPage(context.sql, Number(id)) : undefined;
  if (!task) return missing(context, id);
  const step = await readWholeStep(context.sql, Number(id), stepIn(fields));
  if (step) return { task, step };
  const title = "There is no such step";
  const body = lone(title, markup`<p>Nothing was forked.</p>`, backLink(context, id));
  return { title, current: "tasks", body, status: 404 };
}

function question(context: PageContext, { task: { id, func_name }, step }: Asked, failure: Html = NOTHING): Page {
  const { name, key, before } = step;
  const title = `Fork ${func_name} #${id} from ${name}?`;
  const kept = before === 0 ? "no step" : before === 1 ? "the step" : `the ${amount(before, "step")}`;
  const body =
    markup`<div class="lone"><section class="panel" aria-labelledby="fork-t"><form class="in" method="post" action="${
      context.href(`/tasks/${id}/fork`)
    }">
<h1 id="fork-t">${title}</h1>
${failure}${hidden({ name, key: key || undefined })}
<p>A new task with the same arguments begins with the results of ${kept}${
      before === 0 ? "" : " that ended before it"
    }. It runs <code>${name}</code>${
      keyMarkup(key)
    } and all that follows again: what they do happens once more. Task ${id} stays as it is.</p>
<div class="acts"><button type="submit" class="primary">Fork</button>${backLink(context, id)}</div>
</form></section></div>`;
  return { title, current: "tasks", body };
}

/** The link back to a task, which closes a dialog. */
export function backLink(context: PageContext, id: string): Html {
  return markup`<a class="button" href="${context.href(`/tasks/${id}`)}" data-back>Back</a>`;
}

/** What a viewer who may only look sees in place of a question about a task. */
export function readOnlyQuestion(context: PageContext, id: string, verb: string): Page {
  const title = `${verb}: nothing to do`;
  const body = lone(title, markup`<p>This dashboard is read-only for you.</p>`, backLink(context, id));
  return { title, current: "tasks", body, status: 403 };
}

async function act(context: PageContext, { id }: Params): Promise<Page | Response> {
  const asked = await find(context, id!, context.form);
  if (!("task" in asked)) return asked;
  const { name, key } = asked.step;
  try {
    const forked = await context.firefly.tasks.fork(Number(id), { from: { step: name, key } });
    return seeOther(context.href(`/tasks/${forked.id}`, { forked: id! }));
  } catch (error) {
    if (!(error instanceof FireflyError)) throw error;
    const failure = describeFailure(error);
    return { ...question(context, asked, failureBox(failure)), status: failure.status };
  }
}

/** Says what the fork was that led to this page. */
export function forkedFlash({ url }: PageContext): Html {
  const from = url.searchParams.get("forked") ?? "";
  if (!/^\d{1,15}$/.test(from)) return NOTHING;
  return markup`<div class="tell ok-w" role="status"><p><b>Forked from task ${from}.</b></p></div>`;
}

/** The routes of the question whether to fork a task. */
export const fork: readonly Route[] = [
  { method: "GET", path: "/tasks/:id/fork", run: ask },
  { method: "POST", path: "/tasks/:id/fork", run: act },
];
