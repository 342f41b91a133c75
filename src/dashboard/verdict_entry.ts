import type { Query } from "./context.ts";
import type { Html, Part } from "./html.ts";
import type { Shape } from "./parts/status.ts";
import type { Facts } from "./verdict_facts.ts";

/** How bad an entry is, worst first: tasks are lost, nothing runs, it takes long, it is unusual. */
export const RANKS = ["loses", "stands", "slow", "odd"] as const;

/** How bad an entry is. */
export type Rank = typeof RANKS[number];

/** Something to click beside an entry: a link, which may lead to a question, or a button that posts. */
export type Step =
  | { readonly label: string; readonly href: string; readonly asks?: boolean }
  | { readonly label: string; readonly path: string; readonly fields: Query };

/** Something that needs attention. It is there as long as its cause is. */
export interface Entry {
  /** Which rule made it, and of which subject: `paused:mail`. */
  readonly id: string;
  readonly rank: Rank;
  readonly shape: Shape;
  /** Whether its shape is red. */
  readonly bad?: boolean;
  /** What is wrong, and with what. */
  readonly sentence: Html;
  /** What shows it. */
  readonly evidence: Part;
  readonly since: Date | null;
  readonly steps: readonly Step[];
  /** The chart beside it: the failures of a name, or the due tasks of a queue. */
  readonly chart?: { readonly failuresOf: string } | { readonly dueIn: string };
}

/** Makes the address of a page. */
export type Link = (path: string, query?: Query) => string;

/** Finds one kind of trouble. */
export interface Rule {
  /** The entries, the worst first. */
  find(facts: Facts, link: Link): Entry[];
  /** The sentence of an entry for those that are left out, and the page that has them. */
  readonly more: readonly [sentence: (count: number) => string, path: string];
}
