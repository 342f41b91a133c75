import { type Beside, type BesideTask, readBeside, type Relation } from "../../store/task_graph.ts";
import type { PageContext } from "../context.ts";
import { type Html, markup, NOTHING, type Part } from "../html.ts";
import { formatCapped } from "../parts/numbers.ts";
import { facts, panel } from "../parts/panels.ts";
import { stateOf } from "../parts/status.ts";

/** How many tasks of a relation a page lists; counting dependants stops at 10,000. */
const [SHOWN, MOST] = [8, 10_000];

const WORDS: readonly (readonly [relation: Relation, words: string])[] = [
  ["caller", "Called by"],
  ["origin", "Forked from"],
  ["dependency", "Depends on"],
  ["callee", "Calls"],
  ["dependant", "Dependants"],
];

/** The panel with the tasks that one is related to; nothing if there are none. */
export async function relatedPanel(context: PageContext, id: number): Promise<Html> {
  const beside = await readBeside(context.sql, id, SHOWN);
  if (beside.tasks.length === 0) return NOTHING;
  const isGraph = beside.tasks.some(({ relation }) => relation !== "origin");
  return panel(
    {
      id: "related",
      title: "Related tasks",
      aside: isGraph && markup`<a class="small" href="${context.href(`/tasks/${id}/graph`)}">Graph</a>`,
    },
    facts(WORDS.map(([relation, words]) => [words, listOf(context, beside, relation)])),
  );
}

function listOf(context: PageContext, { tasks, ended, all }: Beside, relation: Relation): Part | undefined {
  const shown = tasks.filter((task) => task.relation === relation);
  if (shown.length === 0) return undefined;
  const count = all[relation] ?? shown.length;
  const done = ended[relation];
  const summary = count > 1 &&
    markup`<li class="dim">${done === undefined ? "" : `${formatCapped(done, MOST)} of `}${formatCapped(count, MOST)}${
      done === undefined ? "" : " ended"
    }${count > shown.length && `, ${shown.length} shown`}</li>`;
  return markup`<ul class="related">${summary}${shown.map((task) => markup`<li>${taskLink(context, task)}</li>`)}</ul>`;
}

function taskLink({ href }: PageContext, { id, funcName, state }: BesideTask): Part {
  if (funcName === null || state === null) return markup`#${id} <span class="dim">deleted</span>`;
  return markup`<a href="${href(`/tasks/${id}`)}">${funcName} #${id}</a> ${stateOf(state)}`;
}
