import type { PageContext, Query } from "../context.ts";
import { attr, classes, type Html, markup, NOTHING, type Part } from "../html.ts";

/** The options of a button. */
export interface ActionOptions {
  /** Where it posts to, below the base. */
  readonly path: string;
  /** What it posts. */
  readonly fields?: Query;
  /** `primary`, `danger`. */
  readonly class?: string;
  /** The key that presses it. */
  readonly key?: string;
  /** What the label does not say, for screen readers: the name of the row. */
  readonly of?: string | undefined;
}

/** A button that posts a form of its own. A viewer who may only look gets none. It cannot stand in a `<p>`. */
export function action(
  context: PageContext,
  label: Part,
  { path, fields = {}, key, of, ...options }: ActionOptions,
): Html {
  if (context.viewer.readOnly) return NOTHING;
  const inner = markup`${label}${of !== undefined && markup`<span class="skip"> ${of}</span>`}`;
  return markup`<form method="post" action="${context.href(path)}">${hidden(fields)}<button${classes(options.class)}${
    attr("data-key", key)
  }>${inner}</button></form>`;
}

/** A link that looks like a button. One that leads to a question is left out for a viewer who may only look. */
export function linkButton(
  context: PageContext,
  label: Part,
  { href, asks = false, ...options }: { href: string; asks?: boolean; class?: string },
): Html {
  if (asks && context.viewer.readOnly) return NOTHING;
  return markup`<a${classes("button", options.class)} href="${href}"${attr("data-ask", asks)}>${label}</a>`;
}

/** Fields that a form sends and does not show. */
export function hidden(fields: Query): Html {
  const each = Object.entries(fields).map(([name, value]) =>
    value !== undefined && markup`<input type="hidden" name="${name}" value="${value}">`
  );
  return markup`${each}`;
}

/** The field that finds a task, or filters. */
export function search(context: PageContext): Html {
  return markup`<form class="acts" role="search" action="${context.href("/tasks")}">
<label class="skip" for="find">Find a task</label>
<input id="find" name="q" type="search" placeholder="Task id, name or filter" size="30"></form>`;
}

/** The link to the next page of a list; nothing at its end. */
export function older(href: string | undefined, label = "Older →"): Html {
  return href === undefined ? NOTHING : markup`<a href="${href}" rel="next">${label}</a>`;
}
