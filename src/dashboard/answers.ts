import type { Pulse } from "../store/pulse.ts";
import { hrefOf, type Page } from "./context.ts";
import { type Html, markup } from "./html.ts";
import type { LastPage } from "./last_pages.ts";
import { type Frame, layout, lone } from "./layout.ts";
import { describeFailure } from "./parts/failures.ts";
import { tell } from "./parts/panels.ts";
import { formatClock } from "./parts/times.ts";
import { type Refusal, SECURE_HEADERS } from "./security.ts";

const HTML = { "content-type": "text/html; charset=utf-8" };

/** Answers with a page. */
export function render(page: Page, frame: Frame, options?: { bare: boolean }): Response {
  return new Response(layout(page, frame, options).toString(), { status: page.status ?? 200, headers: HTML });
}

/**
 * Answers with a page and a tag of its content, or with 304 to a request that has the same already. How old things are
 * and when they were read is not part of the tag.
 */
export async function renderTagged(
  page: Page,
  { frame, known }: { frame: Frame; known: string | null },
): Promise<Response> {
  const text = layout(page, frame).toString();
  const content = text.replace(/(<time [^>]*data-age>)[^<]*/g, "$1").replace(/<span id="as-of">.*?<\/span>/s, "");
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(content));
  const etag = `W/"${btoa(String.fromCharCode(...new Uint8Array(digest, 0, 12)))}"`;
  if (known === etag) return new Response(null, { status: 304, headers: { etag } });
  return new Response(text, { status: page.status ?? 200, headers: { ...HTML, etag } });
}

/** Answers with why a request is refused. One that is not authorized sees no links to other pages. */
export function refuse({ status, title, reason, advice }: Refusal, frame: Frame, { bare = false } = {}): Response {
  const text = markup`<p>${reason}</p><p class="dim small">${advice}</p>`;
  return render({ title, body: lone(title, text, bare ? undefined : back(frame)), status }, frame, { bare });
}

/** Answers that there is no such page, or that it cannot be asked by this method. */
export function refusePath(allow: readonly string[] | undefined, frame: Frame): Response {
  const title = allow ? "This page cannot be asked that way" : "There is no such page";
  const reason = allow ? `It answers ${allow.join(", ")}.` : "Its address may be mistyped, or of another release.";
  const body = lone(title, markup`<p>${reason}</p>`, back(frame));
  const response = render({ title, body, status: allow ? 405 : 404 }, frame);
  if (allow) response.headers.set("allow", allow.join(", "));
  return response;
}

function back({ base }: Frame): Html {
  return markup`<a class="button" href="${hrefOf(base, "/")}">Back to the overview</a>`;
}

/** Answers with an error: never its stack. */
export function renderFailure(
  error: unknown,
  { again, frame, bare }: { again: string | undefined; frame: Frame; bare: boolean },
): Response {
  const { status, title, detail, isTotal } = describeFailure(error);
  const away = isTotal && again !== undefined;
  const link = again === undefined ? back(frame) : markup`<a class="button" href="${again}">Try again</a>`;
  const body = lone(title, markup`<p>${detail}</p>`, bare ? undefined : link);
  return render({ title, body, status }, { ...frame, away }, { bare });
}

/** Answers with the page as it was when the database last answered, without its buttons. */
export function renderLast({ page, pulse }: LastPage, { error, frame }: { error: unknown; frame: Frame }): Response {
  const { title, detail } = describeFailure(error);
  const body = markup`${away(pulse, title, detail)}
<fieldset class="still" disabled>${page.body}</fieldset>`;
  return render({ ...page, body, status: 503 }, { ...frame, pulse, away: true });
}

function away(pulse: Pulse, title: string, detail: string): Html {
  const asOf =
    `What you see is as of ${formatClock(pulse.now)} UTC. The tasks are safe in the database; consumers go on ` +
    "once it answers. Until then nothing can be changed here.";
  return tell("bad", markup`<b>${title}</b>: ${detail}<br><span class="small">${asOf}</span>`, { alert: true });
}

/** Adds the headers that every response has, and takes the body from the answer to HEAD. */
export function finish(response: Response, isHead: boolean): Response {
  const finished = new Response(isHead ? null : response.body, response);
  if (isHead) response.body?.cancel().catch(() => {});
  for (const [name, value] of Object.entries(SECURE_HEADERS)) finished.headers.set(name, value);
  if (!finished.headers.has("cache-control")) finished.headers.set("cache-control", "no-store");
  return finished;
}
