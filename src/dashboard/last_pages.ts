import type { Pulse } from "../store/pulse.ts";
import type { Page } from "./context.ts";

/** How many pages are kept. */
const MAX = 50;

/** A page that was shown, and what surrounded it. */
export interface LastPage {
  readonly page: Page;
  readonly pulse: Pulse;
}

/** The pages that were shown last, for the time in which the database does not answer: each for its viewer alone. */
export class LastPages {
  readonly #pages = new Map<string, LastPage>();

  /** Keeps a page in place of an older one. */
  keep(key: string, page: LastPage): void {
    this.#pages.delete(key);
    this.#pages.set(key, page);
    for (const oldest of this.#pages.keys()) {
      if (this.#pages.size <= MAX) break;
      this.#pages.delete(oldest);
    }
  }

  /** Returns the page that was kept. */
  get(key: string): LastPage | undefined {
    return this.#pages.get(key);
  }
}

/** What a page is kept by. */
export function keyOf(url: URL, { user, readOnly }: { user?: string; readOnly: boolean }): string {
  return JSON.stringify([user ?? null, readOnly, url.pathname, url.search]);
}
