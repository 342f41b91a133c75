import { type Page, type PageContext, type Params, type Route, seeOther } from "../context.ts";
import { markup } from "../html.ts";
import { lone } from "../layout.ts";
import { gauge } from "../parts/charts.ts";
import { action } from "../parts/forms.ts";
import { liveAs } from "../parts/panels.ts";
import { amount, formatNumber } from "../parts/numbers.ts";
import { flashQuery, QUESTIONS } from "./bulk_actions.ts";
import { findJob, type Job } from "./bulk_job.ts";

/** How long the answer to a click waits for the end of what it began, in milliseconds. */
const WAIT = 1_500;

/** Answers a click that began a job: with the list if it ends soon, else with the page of its progress. */
export async function answerJob(context: PageContext, job: Job): Promise<Response> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<void>((resolve) => timer = setTimeout(resolve, WAIT));
  await Promise.race([job.finished, late]);
  clearTimeout(timer);
  const isDone = job.ended !== undefined && job.ended.problem === undefined;
  return seeOther(isDone ? backOf(context, job) : context.href(`/tasks/actions/${job.id}`));
}

/** The page that a job was begun from, with what it did. */
function backOf(context: PageContext, { order: { name, back }, done, left }: Job): string {
  return context.href(back.path, { q: back.q, ...flashQuery(name, { done, left }) });
}

function show(context: PageContext, { id }: Params): Promise<Page> {
  const job = findJob(context, id!);
  return Promise.resolve(job ? progressOf(context, job) : unknownJob(context));
}

function progressOf(context: PageContext, job: Job): Page {
  const { order: { name, count }, done, left, ended } = job;
  const { verb, done: did } = QUESTIONS[name];
  const title = ended ? `${did} ${amount(done, "task")}` : `${verb}: ${formatNumber(done)} of ${amount(count, "task")}`;
  const label = `${formatNumber(done)} of ${formatNumber(count)} done`;
  const rest = left > 0 && ` ${amount(left, "task")} had changed meanwhile, or could not be changed.`;
  const body = lone(
    title,
    markup`<div${liveAs("job")}><div class="meter">${
      gauge(done + left, count, { label, color: ended?.problem ? "bad" : "run" })
    }<b>${formatNumber(done)} of ${formatNumber(count)}</b></div>
<p>${rest}</p>
${ended?.problem !== undefined && markup`<div class="tell bad-w" role="alert"><p>${ended.problem}</p></div>`}
<p class="dim small">${
      ended
        ? "It has ended."
        : "It goes on if you leave this page. Batches of 1,000 tasks are done one after the other."
    }</p></div>`,
    markup`${
      ended
        ? markup`<a class="button primary" href="${backOf(context, job)}">Back</a>`
        : markup`<a class="button primary" href="${context.href(`/tasks/actions/${job.id}`)}">Refresh</a>${
          action(context, "Stop", { path: `/tasks/actions/${job.id}/stop`, class: "danger" })
        }<a class="button" href="${context.href(job.order.back.path, { q: job.order.back.q })}">Back</a>`
    }`,
  );
  return { title, current: "tasks", body };
}

function unknownJob(context: PageContext): Page {
  const title = "This action is not known here";
  const body = lone(
    title,
    markup`<p>It ended more than an hour ago, or another process runs it. What it has done so far stays done.</p>`,
    markup`<a class="button" href="${context.href("/tasks")}">To the tasks</a>`,
  );
  return { title, current: "tasks", body, status: 404 };
}

function stop(context: PageContext, { id }: Params): Promise<Response> {
  findJob(context, id!)?.stop();
  return Promise.resolve(seeOther(context.href(`/tasks/actions/${id}`)));
}

/** The routes of actions under way. */
export const bulk: readonly Route[] = [
  { method: "GET", path: "/tasks/actions/:id", run: show },
  { method: "POST", path: "/tasks/actions/:id/stop", run: stop },
];
