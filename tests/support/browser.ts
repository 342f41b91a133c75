import axe from "axe-core";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";

/** Where Debian, Ubuntu, Fedora, Homebrew and Google's own packages install the browser. */
const PATHS = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];
/** No network but the test's own server: Chromium otherwise asks for updates and reports. */
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"];
/** WCAG 2.0 to 2.2, levels A and AA, and what axe recommends beside them. */
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

/** The program of the browser; undefined where none is installed. */
export const browserPath = Deno.env.get("CHROMIUM_PATH") ?? PATHS.find(isFile);

/**
 * How a test with a browser is declared. A person's machine may have no browser, but CI leaves out no test. Playwright
 * keeps a child process and its pipes from one test to the next, which the sanitizers would take for leaks.
 */
export const WITH_BROWSER: Pick<Deno.TestDefinition, "ignore" | "sanitizeOps" | "sanitizeResources"> = {
  ignore: browserPath === undefined && !Deno.env.has("CI"),
  sanitizeOps: false,
  sanitizeResources: false,
};

/** A browser whose pages may be inspected. Disposing it ends its processes. */
export class TestBrowser implements AsyncDisposable {
  readonly #browser: Browser;

  private constructor(browser: Browser) {
    this.#browser = browser;
  }

  /** Starts one, without a window. */
  static async start(): Promise<TestBrowser> {
    if (browserPath === undefined) throw new Error("Cannot start a browser as no Chromium is installed");
    return new TestBrowser(await chromium.launch({ executablePath: browserPath, headless: true, args: FLAGS }));
  }

  /** Opens a page in a profile of its own. */
  async open(options: BrowserContextOptions = {}): Promise<OpenPage> {
    const context = await this.#browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
    context.setDefaultTimeout(30_000);
    const page = await context.newPage();
    const problems: string[] = [];
    page.on("console", (message) => {
      if (message.type() === "error") problems.push(`${page.url()}: ${message.text()}`);
    });
    page.on("pageerror", (error) => problems.push(`${page.url()}: ${error.message}`));
    return { page, problems, [Symbol.asyncDispose]: () => context.close() };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#browser.close();
  }
}

/** A page, and what its console has complained about: errors of scripts and violations of its content security policy. */
export interface OpenPage extends AsyncDisposable {
  readonly page: Page;
  readonly problems: string[];
}

/** Runs axe in a page, either all rules or those that depend on colors. Resolves to the violations, one text each. */
export async function findViolations(page: Page, { colorsOnly = false } = {}): Promise<string[]> {
  // By the debugging protocol: the page's policy rightly refuses a script that is added to the document.
  if (!await page.evaluate("Boolean(globalThis.axe)")) await page.evaluate(axe.source);
  const runOnly = colorsOnly ? { type: "rule", values: ["color-contrast"] } : { type: "tag", values: RULES };
  const { violations } = await page.evaluate(
    `axe.run(document, ${JSON.stringify({ runOnly, resultTypes: ["violations"] })})`,
  ) as axe.AxeResults;
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${id}: ${html.slice(0, 200)} ${failureSummary?.replace(/\s+/g, " ")}`)
  );
}

/** The elements that reach over the right edge of the window, and the panels whose content is cut off. */
export async function findOverflow(page: Page): Promise<string[]> {
  return await page.evaluate(OVERFLOW) as string[];
}

const OVERFLOW = `(() => {
  const name = (element) => element.outerHTML.slice(0, 120);
  const scrolls = (element) => {
    for (; element && element !== document.body; element = element.parentElement) {
      if (/auto|scroll/.test(getComputedStyle(element).overflowX)) return true;
    }
    return false;
  };
  const over = document.documentElement.scrollWidth > innerWidth
    ? [...document.querySelectorAll("body *")].filter((element) =>
        element.getBoundingClientRect().right > innerWidth + 1 && !scrolls(element)).slice(0, 4)
    : [];
  const cut = [...document.querySelectorAll(".panel")].filter((panel) =>
    panel.scrollWidth > panel.clientWidth + 1 && !scrolls(panel));
  const wide = document.documentElement.scrollWidth - innerWidth;
  return [...(wide > 0 ? ["the page is " + wide + " px too wide"] : []), ...over.map((e) => "over: " + name(e)),
    ...cut.map((e) => "cut by " + (e.scrollWidth - e.clientWidth) + ": " + name(e))];
})()`;

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}
