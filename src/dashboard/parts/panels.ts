import { attr, classes, type Html, markup, NOTHING, type Part } from "../html.ts";

/** The options of a panel. */
export interface PanelOptions {
  /** The id of its heading: unique on the page. Without a title, a panel needs a `label`. */
  readonly id?: string;
  readonly title?: Part;
  /** What it holds, for screen readers, if it has no title. */
  readonly label?: string;
  /** A small remark beside the title. */
  readonly note?: Part;
  /** What stands at the right of its header. */
  readonly aside?: Part;
  readonly footer?: Part;
  readonly class?: string;
  /** An id of its own for a panel whose content the script keeps up to date. Nothing in it may be picked or typed. */
  readonly live?: string;
}

/** A panel: a box with a heading. */
export function panel({ id, title, label, note, aside, footer, live, ...options }: PanelOptions, body: Part): Html {
  const isNamed = title !== undefined && id !== undefined;
  const name = isNamed ? attr("aria-labelledby", id) : attr("aria-label", label);
  return markup`<section${classes("panel", options.class)}${name}${liveAs(live)}>
${title !== undefined && header({ id, title, note, aside })}${body}
${footer !== undefined && markup`<footer>${footer}</footer>`}</section>`;
}

/** The attributes of an element whose content the script keeps up to date. */
export function liveAs(id: string | undefined, kind = ""): Html {
  return id === undefined ? NOTHING : markup` id="${id}" data-live="${kind}"`;
}

function header({ id, title, note, aside }: { id: string | undefined; title: Part; note: Part; aside: Part }): Html {
  const remark = note !== undefined && markup`<span class="dim small">${note}</span>`;
  return markup`<header><h2${attr("id", id)}>${title}</h2>${remark}${aside}</header>\n`;
}

/** The heading of a page, with what stands beside it; `crumb` leads to the list that it comes from. */
export function head(title: Part, { crumb, beside }: { crumb?: Part; beside?: Part } = {}): Html {
  const above = crumb !== undefined && markup`<p class="crumb">${crumb}</p>`;
  return markup`<div class="head">${above}<h1${liveAs("h1")}>${title}</h1>${beside}</div>`;
}

/** How serious a remark is. */
export type Tone = "bad" | "hold" | "ok" | "run";

/** A remark above the panels, or in one: `aside` stands at its right. An `alert` is read aloud at once. */
export function tell(
  tone: Tone,
  body: Part,
  { aside, alert = false, label }: { aside?: Part; alert?: boolean; label?: string } = {},
): Html {
  const role = attr("role", alert ? "alert" : label && "group");
  const names = classes("tell", tone !== "run" && `${tone}-w`);
  return markup`<div${names}${role}${attr("aria-label", label)}><p>${body}</p>${aside}</div>`;
}

/** What a panel holds that has nothing to list. */
export function empty(text: Part): Html {
  return markup`<p class="in dim">${text}</p>`;
}

/** One number of a row of tiles. */
export interface Tile {
  readonly label: string;
  readonly value: Part;
  readonly note: Part;
  readonly href?: string;
  readonly chart?: Part;
  readonly tone?: "bad" | "hold" | undefined;
}

/** Up to six numbers in a row, which the script keeps up to date. */
export function tiles(all: readonly Tile[], { label = "Numbers", live = "tiles" } = {}): Html {
  const each = all.map(({ label, value, note, href, chart, tone }) => {
    const inner = markup`<span>${label}</span><b${classes(tone)}>${value}</b><small>${note}</small>${chart}`;
    return href === undefined ? markup`<div>${inner}</div>` : markup`<a href="${href}">${inner}</a>`;
  });
  return markup`<section class="panel tiles" aria-label="${label}"${liveAs(live)}>${each}</section>`;
}

/** Facts: a list of names and values. One whose value is undefined is left out. */
export function facts(all: readonly (readonly [name: string, value: Part | undefined])[], name = "facts in"): Html {
  const each = all.map(([name, value]) => value !== undefined && markup`<dt>${name}</dt><dd>${value}</dd>\n`);
  return markup`<dl class="${name}">${each}</dl>`;
}
