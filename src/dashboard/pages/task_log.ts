import { readLog } from "../../store/task_log.ts";
import type { TaskLogLine } from "../../task/record.ts";
import type { PageContext } from "../context.ts";
import { type Html, markup, NOTHING, type Part } from "../html.ts";
import { panel } from "../parts/panels.ts";
import { moment } from "../parts/times.ts";

/** The most lines that a page shows, and the most characters of a message and of its fields. */
const [SHOWN, LONGEST] = [100, 1000];

/** The panel with the last log lines that are kept of a task, the newest at the end; nothing if there are none. */
export async function logPanel(context: PageContext, id: number): Promise<Html> {
  const found = await readLog(context.sql, id, SHOWN + 1);
  if (found.length === 0) return NOTHING;
  const lines = found.slice(-SHOWN);
  const isCut = found.length > SHOWN;
  const note = isCut ? `the last ${SHOWN}, newest at the end` : "newest at the end";
  const footer = isCut && { footer: markup`<span>Earlier lines: <code>firefly logs --task ${id}</code></span>` };
  return panel(
    { id: "log", title: "Log", note, ...footer || {} },
    markup`<ol class="log">${lines.map((line, index) => logLine(context, line, lines[index - 1]))}</ol>`,
  );
}

function logLine(
  context: PageContext,
  { attempt, at, step, level, message, fields }: TaskLogLine,
  before: TaskLogLine | undefined,
): Part {
  const values = Object.keys(fields).length > 0 && JSON.stringify(context.redact(fields, ["fields"]));
  const heading = before?.attempt !== attempt && markup`<li><b>Attempt ${attempt}</b></li>\n`;
  const within = step !== null && markup`<span class="dim">${step}:</span> `;
  return markup`${heading}<li>${moment(at, context.now)}<span class="lv ${level}">${level}</span><span>${within}${
    cut(context.redactText(message, ["message"]))
  }${values && markup` <span class="dim">${cut(values)}</span>`}</span></li>\n`;
}

function cut(text: string): string {
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
}
