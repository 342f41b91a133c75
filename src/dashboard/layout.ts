import { VERSION } from "../version.ts";
import { MOST_FAILED, type Pulse } from "../store/pulse.ts";
import { assetPath } from "./assets.ts";
import { hrefOf, type Page, type PageName } from "./context.ts";
import { attr, classes, type Html, markup } from "./html.ts";
import { formatCapped } from "./parts/numbers.ts";
import { liveAs } from "./parts/panels.ts";
import { formatClock } from "./parts/times.ts";

/** The pages in the bar: their names, paths, titles and the keys that lead there after `g`. */
const PAGES: readonly (readonly [name: PageName, path: string, title: string, key: string])[] = [
  ["overview", "/", "Overview", "o"],
  ["tasks", "/tasks", "Tasks", "t"],
  ["queues", "/queues", "Queues", "q"],
  ["crons", "/crons", "Crons", "c"],
  ["consumers", "/consumers", "Consumers", "s"],
];

const KEYS: readonly (readonly [keys: string, effect: string])[] = [
  ["/", "Find a task, or filter"],
  ["j k", "Next and previous row"],
  ["Enter", "Open the row"],
  ["x", "Pick the row"],
  ["r", "Retry what is picked, or this task"],
  ...PAGES.map(([, , title, key]) => [`g ${key}`, title] as const),
  ["p", "Pause live updates, and go on"],
  ["?", "This list"],
];

/** What surrounds a page. */
export interface Frame {
  readonly base: string;
  /** A name beside the logo, such as that of the environment. */
  readonly title: string;
  readonly viewer: { readonly user?: string; readonly readOnly: boolean };
  readonly live: boolean;
  readonly keys: boolean;
  /** Undefined where the database did not answer, or was not asked. */
  readonly pulse?: Pulse | undefined;
  /** Whether the database does not answer, so that this is an earlier page, or none. The script waits for its return. */
  readonly away?: boolean;
  /** How many milliseconds the page took. */
  readonly elapsed?: number;
}

/** A whole document. A page that read nothing has no live updates, and a `bare` one no links to other pages. */
export function layout(page: Page, frame: Frame, { bare = false }: { bare?: boolean } = {}): Html {
  const { base, pulse, keys } = frame;
  const isLive = frame.live && (pulse !== undefined || frame.away === true) && !bare;
  return markup`<!doctype html>
<html lang="en" data-base="${base}"${attr("data-live", isLive)}${attr("data-keys", keys && !bare)}${
    attr("data-away", frame.away)
  }>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${page.title} · Firefly</title>
<link rel="icon" href="${base}${assetPath("firefly.svg")}" type="image/svg+xml">
<link rel="stylesheet" href="${base}${assetPath("dashboard.css")}">
<script src="${base}${assetPath("dashboard.js")}" defer></script>
${isLive && markup`<script src="${base}${assetPath("live.js")}" defer></script>`}
</head>
<body>
<a class="skip" href="#main">Skip to content</a>
<header class="bar">
${brand(base)}${!bare && [navigation(page.current, frame), tools(frame, isLive)]}
</header>
<main id="main" tabindex="-1">
${page.body}
</main>
${!bare && [footer(frame), keys && keysDialog()]}
</body>
</html>
`;
}

function brand(base: string): Html {
  const image = markup`<img src="${base}${assetPath("firefly.svg")}" alt="" width="26" height="26">`;
  return markup`<a class="brand" href="${hrefOf(base, "/")}">${image}Firefly</a>`;
}

function navigation(current: PageName | undefined, { base, pulse }: Frame): Html {
  const links = PAGES.map(([name, path, title, key]) => {
    const mark = attr("aria-current", name === current && "page");
    const count = name === "tasks" && pulse && badge(pulse.failed);
    return markup`<li><a href="${hrefOf(base, path)}" data-go="${key}"${mark}>${title}${count}</a></li>`;
  });
  return markup`<nav aria-label="Pages"><ul>${links}</ul></nav>`;
}

/** How many tasks failed within the last hour; nothing if none did. */
function badge(failed: number): Html {
  const count = formatCapped(failed, MOST_FAILED);
  const shown = failed > 0 && markup` <span class="n" title="Failed in the last hour">${count}</span>`;
  return markup`<span${liveAs("badge")}>${shown}</span>`;
}

function tools({ title, viewer, away = false }: Frame, isLive: boolean): Html {
  const word = away ? "Reconnecting" : "Live";
  return markup`<div class="tools">
${title !== "" && markup`<span class="env">${title}</span>`}
${viewer.user !== undefined && markup`<span class="opt">${viewer.user}</span>`}
${viewer.readOnly && markup`<span class="env">Read only</span>`}
${isLive && markup`<span${classes("live", away && "off")} id="live" role="status" hidden>${word}</span>`}
${isLive && markup`<button type="button" id="pause" hidden>Pause</button>`}
<button type="button" id="theme" class="opt" hidden>Theme</button>
</div>`;
}

function footer({ pulse, elapsed, keys }: Frame): Html {
  const took = elapsed !== undefined && `, in ${Math.max(1, Math.round(elapsed))} ms`;
  const versions = pulse && ` · schema ${pulse.schema} · PostgreSQL ${pulse.server}`;
  return markup`<footer class="foot"><span>Firefly ${VERSION}${versions}</span>
${pulse && markup`<span id="as-of">As of ${clock(pulse.now)}${took}</span>`}
${keys && markup`<span class="opt" data-script hidden>Press <kbd>?</kbd> for keys</span>`}</footer>`;
}

function clock(time: Date): Html {
  return markup`<time datetime="${time.toISOString()}">${formatClock(time)} UTC</time>`;
}

function keysDialog(): Html {
  const list = KEYS.map(([keys, effect]) =>
    markup`<dt>${keys.split(" ").map((key) => markup`<kbd>${key}</kbd>`)}</dt><dd>${effect}</dd>\n`
  );
  return markup`<dialog id="keys" aria-labelledby="keys-t"><div class="ask"><h2 id="keys-t">Keys</h2>
<dl class="keys">${list}</dl>
<form method="dialog" class="acts"><button type="button" id="keys-off">Switch keys off</button>
<button autofocus>Close</button></form></div></dialog>`;
}

/** A page with one thing on it: a heading, what it says, and where to go on. */
export function lone(title: string, body: Html, acts?: Html): Html {
  return markup`<div class="lone"><section class="panel" aria-labelledby="lone"><div class="in">
<h1 id="lone">${title}</h1>
${body}
${acts && markup`<div class="acts">${acts}</div>`}
</div></section></div>`;
}
