import type { Page, PageContext } from "../context.ts";
import { type Html, markup } from "../html.ts";
import { head, panel } from "../parts/panels.ts";

/** What to write into the first file. */
const CODE = `// tasks.ts
import { task } from "@firefly/tasks";

export const add = task({ name: "math.add" }, (i: number, j: number) => i + j);`;

const DOCS = "https://jsr.io/@firefly/tasks/doc";

/**
 * The page of a database in which nothing has happened yet: what to do first. The class `still` has the script load it anew
 * when something happens, as the overview has other parts.
 */
export function emptyPage(context: PageContext): Promise<Page> {
  const body = markup`${head("Nothing here yet")}
<div class="cols two-one"><section class="panel" aria-label="First steps"><ol class="steps">
<li class="done"><h2>The database answers</h2><p class="dim">Firefly’s tables are there, in the schema “${context.firefly.schema}”</p></li>
<li><span class="still" hidden></span><h2>Define a task and start a consumer</h2><p class="dim">No consumer has registered yet. This page shows it as soon as it does.</p>
${code("tasks.ts", CODE)}
${code("Command", "deno run -A jsr:@firefly/tasks/cli consume")}</li>
<li><h2>Schedule it</h2><p class="dim">From TypeScript, or from any language by SQL:</p>
${code("SQL", `select ${context.firefly.schema}.schedule('math.add', '[1, 3]');`)}</li>
</ol></section>
<div class="stack">${
    panel(
      { id: "then", title: "Then here" },
      markup`<ul class="in stack small dim"><li>What fails, since when and why, above everything else</li>
<li>How much is due, how long it waits, and which consumers run it</li>
<li>For each task, why it does not run</li></ul>`,
    )
  }${
    panel(
      { id: "read", title: "Read on" },
      markup`<ul class="in stack small"><li><a href="${DOCS}">Documentation</a></li></ul>`,
    )
  }</div></div>`;
  return Promise.resolve({ title: "Nothing here yet", current: "overview", body });
}

function code(label: string, text: string): Html {
  return markup`<pre tabindex="0" role="region" aria-label="${label}">${text}</pre>`;
}
