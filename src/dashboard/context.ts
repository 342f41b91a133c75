import type { Tag } from "../database/driver.ts";
import type { Firefly } from "../firefly/firefly.ts";
import type { Html } from "./html.ts";

/** What a page of the dashboard has at hand: one of these for each request. */
export interface PageContext {
  /** The instance whose tasks it shows; actions go through its `tasks`, `pause()` and `resume()`. */
  readonly firefly: Firefly;
  /** Runs a statement of the store in a read-only transaction of its own, for 5 s at most. */
  readonly sql: Tag;
  /** The address that was asked for, with the base path. */
  readonly url: URL;
  /** The path at which the dashboard is mounted, without a slash at its end: `""` at the root. */
  readonly base: string;
  /** Who asks. */
  readonly viewer: { readonly user?: string; readonly readOnly: boolean };
  /** The time of the database when the request came. */
  readonly now: Date;
  /** The fields of a form that was posted; empty for GET. */
  readonly form: URLSearchParams;
  /** Makes the address of a page: `href("/tasks", { q: "status:failed" })`. */
  href(path: string, query?: Query): string;
  /** Returns a copy of a value without its hidden parts; `path` leads to it in the record, as `["params"]`. */
  redact<T>(value: T, path: string[]): T;
  /** As {@linkcode PageContext.redact}, for a text. */
  redactText(text: string, path: string[]): string;
  /** Emits `dashboard.error`, for an error that a page shows only in part. */
  report(error: unknown): void;
}

/** The parameters of an address; one that is undefined is left out. */
export type Query = Readonly<Record<string, string | number | undefined>>;

/** A page that a route shows. */
export interface Page {
  /** The title of its window, and no more: the heading is in `body`. */
  readonly title: string;
  /** The page in the bar to mark. */
  readonly current?: PageName | undefined;
  /** The content of `<main>`, with its `h1`. */
  readonly body: Html;
  /** @default 200 */
  readonly status?: number;
}

/** The pages in the bar. */
export type PageName = "overview" | "tasks" | "queues" | "crons" | "consumers";

/** The parts of a path that a route names: `id` of `/tasks/:id`. */
export type Params = Readonly<Record<string, string>>;

/** What answers a method and a path. */
export interface Route {
  /** GET must not change anything; it answers HEAD as well. */
  readonly method: "GET" | "POST";
  /** A path from the base, such as `/tasks/:id`. The first route that matches is taken. */
  readonly path: string;
  /** Answers with a page, or with a response such as {@linkcode seeOther}. */
  run(context: PageContext, params: Params): Promise<Page | Response>;
}

/** The answer to a POST that was carried out: a redirect, so that a reload does not repeat it. */
export function seeOther(location: string): Response {
  return new Response(null, { status: 303, headers: { location } });
}

/** Makes the address of a page below `base`. */
export function hrefOf(base: string, path: string, query: Query = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) search.append(name, String(value));
  const text = search.size > 0 ? `?${search}` : "";
  return `${base}${path}${text}`;
}
