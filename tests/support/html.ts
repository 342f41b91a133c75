import { parseHTML } from "linkedom";

/** An element of a page, as far as tests look at it. */
export interface HtmlElement {
  readonly textContent: string;
  getAttribute(name: string): string | null;
  querySelector(selector: string): HtmlElement | null;
  querySelectorAll(selector: string): Iterable<HtmlElement>;
}

/** A page that was parsed. */
export interface HtmlPage {
  readonly status: number;
  /** The HTML as it came. */
  readonly source: string;
  /** Elements that match a selector. Compare what they hold, not them: to print their difference never ends. */
  all(selector: string): HtmlElement[];
  /** How many elements match a selector. */
  count(selector: string): number;
  /** The text of the first element that matches, with single spaces; undefined without one. */
  text(selector: string): string | undefined;
  /** The texts of all elements that match. */
  texts(selector: string): string[];
  /** The rows that match, each as the texts of its cells. */
  rows(selector: string): string[][];
  /** The values of an attribute of all elements that match. */
  attributes(selector: string, name: string): (string | null)[];
}

/** Parses the page of a response. */
export async function pageOf(response: Response): Promise<HtmlPage> {
  const source = await response.text();
  const { document } = parseHTML(source) as unknown as { document: HtmlElement };
  const all = (selector: string) => [...document.querySelectorAll(selector)];
  return {
    status: response.status,
    source,
    all,
    count: (selector) => all(selector).length,
    text: (selector) => all(selector).map(textOf)[0],
    texts: (selector) => all(selector).map(textOf),
    rows: (selector) => all(selector).map((row) => [...row.querySelectorAll("th, td")].map(textOf)),
    attributes: (selector, name) => all(selector).map((element) => element.getAttribute(name)),
  };
}

/** The text of an element, with single spaces. */
export function textOf({ textContent }: HtmlElement): string {
  return textContent.replace(/\s+/g, " ").trim();
}
