import { finish, refuse, refusePath, renderFailure, renderLast, renderTagged } from "./answers.ts";
import { type Asset, ASSETS } from "./assets.ts";
import { openPage } from "./connection.ts";
import { hrefOf, type PageContext, type Query } from "./context.ts";
import { keyOf, LastPages } from "./last_pages.ts";
import type { Frame } from "./layout.ts";
import { Live } from "./live.ts";
import { checkOptions, type DashboardOptions, type Settings } from "./options.ts";
import type { Firefly } from "../firefly/firefly.ts";
import { CONTENT_TYPE, writeMetrics } from "../metrics/metrics.ts";
import type { Pulse } from "../store/pulse.ts";
import { describeFailure } from "./parts/failures.ts";
import { findRoute, type Match } from "./routes.ts";
import { authorizeRequest, READ_ONLY, readForm, refuseForgery, refuseHost } from "./security.ts";

/** A dashboard: a handler of web requests, for any server that speaks them. */
export interface Dashboard {
  /** Answers a request. It never rejects: an error is a page. */
  fetch(request: Request): Promise<Response>;
  /** Ends live updates. The instance stays open. */
  close(): void;
}

/**
 * Makes a dashboard of an instance. Mount it at any path of a server, and tell it that path.
 *
 * @throws {TypeError} If an option is wrong.
 *
 * @example Serve it to those who have a session
 * ```ts ignore
 * import { Firefly } from "@firefly/tasks";
 * import { dashboard } from "@firefly/tasks/dashboard";
 *
 * const firefly = new Firefly();
 * const board = dashboard({
 *   firefly,
 *   basePath: "/firefly",
 *   authorize: (request) => userOf(request)?.isAdmin ?? false,
 * });
 *
 * Deno.serve((request) => board.fetch(request));
 * ```
 */
export function dashboard(options: DashboardOptions): Dashboard {
  const handler = new Handler(checkOptions(options));
  return {
    fetch: (request) => handler.fetch(request),
    close: () => handler.live.close(),
  };
}

/** A request that was let through. */
interface Admitted {
  readonly request: Request;
  readonly url: URL;
  readonly frame: Frame;
}

/** Whether a request is let through, and if not, the answer: the dashboard's, or a response of the application. */
type Admission = { viewer: Frame["viewer"] } | { answer: Response } | { response: Response };

/** Of a request that was not let through, or not yet. */
const NO_VIEWER = { readOnly: false } as const;

/** Answers requests by the settings of one dashboard. */
class Handler {
  readonly live: Live;
  readonly #settings: Settings;
  readonly #lastPages = new LastPages();

  constructor(settings: Settings) {
    this.#settings = settings;
    this.live = new Live(settings.firefly);
  }

  async fetch(request: Request): Promise<Response> {
    const url = new URL(request.url);
    const path = pathOf(url, this.#settings.base);
    const isHead = request.method === "HEAD";
    let frame: Frame | undefined;
    try {
      const decision = await this.#admit(request, path);
      // A response of authorize() is the application's own, with a policy of its own: a page to log in, say.
      if ("response" in decision) return decision.response;
      if ("answer" in decision) return finish(decision.answer, isHead);
      frame = this.#frame(decision.viewer);
      return finish(await this.#answer({ request, url, frame }, path), isHead);
    } catch (error) {
      this.#settings.firefly.events.emit("dashboard.error", { path, error });
      const again = request.method === "POST" ? undefined : url.pathname + url.search;
      const bare = frame === undefined; // authorize() itself failed
      return finish(renderFailure(error, { again, frame: frame ?? this.#frame(NO_VIEWER), bare }), isHead);
    }
  }

  /** Lets a request through to the pages, or answers it: everyone may have the assets. */
  async #admit(request: Request, path: string): Promise<Admission> {
    const bare = this.#frame(NO_VIEWER);
    const refusal = refuseHost(request, this.#settings);
    if (refusal) return { answer: refuse(refusal, bare, { bare: true }) };
    const asset = Object.values(ASSETS).find((asset) => asset.path === path);
    if (asset) return { answer: sendAsset(asset) };
    const decision = await authorizeRequest(request, this.#settings);
    return "refusal" in decision ? { answer: refuse(decision.refusal, bare, { bare: true }) } : decision;
  }

  async #answer(admitted: Admitted, path: string): Promise<Response> {
    const { request, frame } = admitted;
    if (request.method === "POST") return await this.#change(admitted, path);
    const isRead = request.method === "GET" || request.method === "HEAD";
    if (path === "/pulse" && isRead && this.#settings.live) return this.live.stream(request);
    // No page: it answers also while the database does not.
    if (path === "/metrics" && isRead) return await sendMetrics(this.#settings.firefly);
    const match = findRoute(request.method, path);
    if (!match || !("route" in match)) return refusePath(match?.allow, frame);
    return await this.#show(match, admitted);
  }

  /** Answers a POST: nothing of it is read before it is known that it may change something. */
  async #change(admitted: Admitted, path: string): Promise<Response> {
    const { request, frame } = admitted;
    const refusal = frame.viewer.readOnly ? READ_ONLY : refuseForgery(request);
    if (refusal) return refuse(refusal, frame);
    const match = findRoute("POST", path);
    if (!match || !("route" in match)) return refusePath(match?.allow, frame);
    const form = await readForm(request);
    if (!(form instanceof URLSearchParams)) return refuse(form, frame);
    return await this.#run(match, { ...admitted, form });
  }

  /** Answers a GET; with the last answer, if there is one and the database does not answer. */
  async #show(match: Found, admitted: Admitted): Promise<Response> {
    try {
      return await this.#run(match, { ...admitted, form: new URLSearchParams() });
    } catch (error) {
      const last = this.#lastPages.get(keyOf(admitted.url, admitted.frame.viewer));
      if (!last || !describeFailure(error).isTotal) throw error;
      return renderLast(last, { error, frame: admitted.frame });
    }
  }

  /** Runs a route, and surrounds the page that it answers with. */
  async #run(
    { route, params }: Found,
    { request, url, frame, form }: Admitted & { form: URLSearchParams },
  ): Promise<Response> {
    const started = performance.now();
    const { sql, pulse } = await openPage(this.#settings.firefly);
    const page = await route.run({
      ...this.#context(pulse, route.path),
      sql,
      url,
      viewer: frame.viewer,
      form,
    }, params);
    if (page instanceof Response) return page;
    if (page.status === undefined && route.method === "GET") {
      this.#lastPages.keep(keyOf(url, frame.viewer), { page, pulse });
    }
    const known = request.headers.get("if-none-match");
    return await renderTagged(page, { frame: { ...frame, pulse, elapsed: performance.now() - started }, known });
  }

  /** What a page has at hand that does not depend on the request. */
  #context({ now }: Pulse, path: string): Omit<PageContext, "sql" | "url" | "viewer" | "form"> {
    const { firefly, base, redactors } = this.#settings;
    return {
      firefly,
      base,
      now,
      href: (path: string, query?: Query) => hrefOf(base, path, query),
      report: (error) => firefly.events.emit("dashboard.error", { path, error }),
      redact: (value, path) => redactors.reduce((shown, redactor) => redactor.redact(shown, path), value),
      redactText: (text, path) => redactors.reduce((shown, redactor) => redactor.redactText(shown, path), text),
    };
  }

  #frame(viewer: Frame["viewer"]): Frame {
    const { base, title, live, keys } = this.#settings;
    return { base, title, viewer, live, keys };
  }
}

/** A route that was found, with its parameters. */
type Found = Extract<Match, { route: unknown }>;

/** The path below the base. One that does not begin with the base is taken as it is: the server may have cut it off. */
function pathOf({ pathname }: URL, base: string): string {
  const path = pathname === base || pathname.startsWith(`${base}/`) ? pathname.slice(base.length) : pathname;
  return path.replace(/\/+$/, "") || "/";
}

/** Answers Prometheus with what the queues hold; what consumers count, they answer themselves. */
async function sendMetrics(firefly: Firefly): Promise<Response> {
  return new Response(await writeMetrics(firefly, { only: "queues" }), { headers: { "content-type": CONTENT_TYPE } });
}

function sendAsset({ type, text }: Asset): Response {
  const headers = { "content-type": type, "cache-control": "public, max-age=31536000, immutable" };
  return new Response(text, { headers });
}
