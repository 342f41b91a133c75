import { dashboard, type DashboardOptions } from "../../dashboard.ts";
import { type TestInstance, testInstance } from "./instance.ts";
import type { FireflyOptions } from "../../mod.ts";

/** A dashboard over a database of its own. */
export interface TestDashboard extends AsyncDisposable {
  readonly test: TestInstance;
  /** Asks for a path, as a browser does that shows the dashboard already. */
  get(path: string, init?: RequestInit): Promise<Response>;
  /** Posts a form, as a button of the dashboard does. */
  post(path: string, fields?: Record<string, string>, init?: RequestInit): Promise<Response>;
  fetch(request: Request): Promise<Response>;
  close(): void;
}

/** The address at which a test's dashboard is served. */
export const ORIGIN = "http://localhost:8000";

/** Makes a dashboard; open, unless `authorize` is given. */
export async function testDashboard(
  options: Partial<DashboardOptions> = {},
  firefly: FireflyOptions = {},
): Promise<TestDashboard> {
  const test = await testInstance(firefly);
  const isDecided = "authorize" in options || "open" in options;
  const board = dashboard({ firefly: test.ff, ...(isDecided ? {} : { open: true }), ...options });
  return {
    test,
    fetch: (request) => board.fetch(request),
    get: (path, init) => board.fetch(new Request(`${ORIGIN}${path}`, init)),
    post: (path, fields = {}, init = {}) =>
      board.fetch(
        new Request(`${ORIGIN}${path}`, {
          method: "POST",
          body: new URLSearchParams(fields),
          ...init,
          headers: { "sec-fetch-site": "same-origin", ...init.headers },
        }),
      ),
    close: () => board.close(),
    async [Symbol.asyncDispose]() {
      board.close();
      await test[Symbol.asyncDispose]();
    },
  };
}

/** A page that was found by following links. */
export interface FoundPage {
  readonly path: string;
  readonly status: number;
  readonly text: string;
}

/** Follows every link from `/`, and from `paths`, up to `max` pages. */
export async function crawl(board: TestDashboard, paths: string[] = [], max = 200): Promise<FoundPage[]> {
  const left = ["/", ...paths];
  const seen = new Set<string>();
  const found: FoundPage[] = [];
  for (let path; (path = left.shift()) !== undefined && found.length < max;) {
    if (seen.has(path)) continue;
    seen.add(path);
    const response = await board.get(path);
    if (!response.headers.get("content-type")?.startsWith("text/html")) {
      await response.body?.cancel();
      continue;
    }
    const text = await response.text();
    found.push({ path, status: response.status, text });
    for (const [, href] of text.matchAll(/<a [^>]*?href="(\/[^"]*)"/g)) left.push(href!.replaceAll("&amp;", "&"));
  }
  return found;
}
