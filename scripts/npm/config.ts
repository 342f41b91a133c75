/** What of `deno.json` the npm package is made from. */
export interface Config {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  /** The entries: `./cli` is `./cli.ts`. */
  readonly exports: Readonly<Record<string, string>>;
  readonly imports: Readonly<Record<string, string>>;
}

/** Reads `deno.json`. */
export async function readConfig(): Promise<Config> {
  return JSON.parse(await Deno.readTextFile(new URL("../../deno.json", import.meta.url)));
}
