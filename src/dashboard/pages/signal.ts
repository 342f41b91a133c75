import { FireflyError } from "../../errors.ts";
import { readTaskPage } from "../../store/task_lists_task.ts";
import { signal as defineSignal } from "../../task/define_signal.ts";
import { type Page, type PageContext, type Params, type Route, seeOther } from "../context.ts";
import { type Html, markup, NOTHING } from "../html.ts";
import { describeFailure, failureBox } from "../parts/failures.ts";
import { backLink, readOnlyQuestion } from "./fork.ts";
import { field } from "./new_fields.ts";
import type { ShownTask } from "./task_facts.ts";
import { missing } from "./task_missing.ts";

/** What a form for a signal holds, and what is wrong with it. */
interface Form {
  readonly name: string;
  readonly payload: string;
  readonly problems: { readonly name?: string; readonly payload?: string };
  readonly failure?: Html;
}

async function ask(context: PageContext, { id }: Params): Promise<Page> {
  if (context.viewer.readOnly) return readOnlyQuestion(context, id!, "Signal");
  const task = await find(context, id!);
  const name = context.url.searchParams.get("name") ?? "";
  return task ? question(context, task, { name, payload: "", problems: {} }) : missing(context, id!);
}

async function find(context: PageContext, id: string): Promise<ShownTask | undefined> {
  return /^\d{1,15}$/.test(id) ? await readTaskPage(context.sql, Number(id)) : undefined;
}

function question(
  context: PageContext,
  { id, func_name }: ShownTask,
  { name, payload, problems, failure = NOTHING }: Form,
): Page {
  const title = `Send a signal to ${func_name} #${id}`;
  const body =
    markup`<div class="lone"><section class="panel" aria-labelledby="signal-t"><form class="in" method="post" action="${
      context.href(`/tasks/${id}/signal`)
    }">
<h1 id="signal-t">${title}</h1>
${failure}${field({ name: "name", label: "Signal", value: name, problem: problems.name, isRequired: true })}
${
      field({
        name: "payload",
        label: "Payload, a value in JSON",
        value: payload,
        problem: problems.payload,
        rows: 4,
        hint: "Empty: none. A schema of the signal checks it only where code sends it",
      })
    }
<p>The first wait of its handler for this name receives it, now or later. It cannot be taken back.</p>
<div class="acts"><button type="submit" class="primary">Send</button>${backLink(context, id)}</div>
</form></section></div>`;
  const isWrong = Object.values(problems).some((problem) => problem !== undefined);
  return { title, current: "tasks", body, status: isWrong ? 422 : 200 };
}

/** Reads the value of a form; undefined where it is empty, a sentence where it is no JSON. */
function readPayload(text: string): { value: unknown } | { problem: string } {
  if (text.trim() === "") return { value: undefined };
  try {
    return { value: JSON.parse(text) };
  } catch (error) {
    return { problem: `It is no JSON: ${(error as Error).message}` };
  }
}

/** Makes the signal of a name, or says what is wrong with that. */
function signalOf(name: string): ReturnType<typeof defineSignal<unknown>> | string {
  try {
    return defineSignal<unknown>(name);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return "A name has 1 to 200 characters";
  }
}

async function act(context: PageContext, { id }: Params): Promise<Page | Response> {
  const task = await find(context, id!);
  if (!task) return missing(context, id!);
  const name = (context.form.get("name") ?? "").replaceAll("\0", "").trim();
  const payload = context.form.get("payload") ?? "";
  const [signal, read] = [signalOf(name), readPayload(payload)];
  if (typeof signal === "string") return question(context, task, { name, payload, problems: { name: signal } });
  if ("problem" in read) return question(context, task, { name, payload, problems: { payload: read.problem } });
  try {
    const isSent = await context.firefly.tasks.signal(Number(id), signal, read.value);
    if (!isSent) throw new FireflyError(`Cannot send signal "${name}" to task ${id} as it has ended`);
    return seeOther(context.href(`/tasks/${id}`, { signaled: name }));
  } catch (error) {
    if (!(error instanceof FireflyError)) throw error;
    const failure = describeFailure(error);
    return {
      ...question(context, task, { name, payload, problems: {}, failure: failureBox(failure) }),
      status: failure.status,
    };
  }
}

/** Says what the signal was that led to this page. */
export function signalFlash({ url }: PageContext): Html {
  const name = url.searchParams.get("signaled");
  if (name === null) return NOTHING;
  return markup`<div class="tell ok-w" role="status"><p><b>Sent the signal ${name}.</b></p></div>`;
}

/** The routes of the form that sends a signal. */
export const signal: readonly Route[] = [
  { method: "GET", path: "/tasks/:id/signal", run: ask },
  { method: "POST", path: "/tasks/:id/signal", run: act },
];
