import * as fs from "node:fs/promises";
import { join } from "node:path";
import { WORKFLOW_PACKAGES } from "./packages.ts";

/** The tables and functions of Absurd, which its npm package does not have: those of the release of its repository. */
const SOURCE = `https://raw.githubusercontent.com/earendil-works/absurd/${
  WORKFLOW_PACKAGES["absurd-sdk"]
}/sql/absurd.sql`;

/** How long a download may take, in milliseconds. */
const TIMEOUT = 20_000;

/**
 * Downloads the schema of Absurd into the directory of its package, unless it is there; resolves to what identifies it.
 *
 * @throws {Error} If it cannot be had: with where to put it by hand.
 */
export async function fetchAbsurdSchema(directory: string, signal: AbortSignal): Promise<string> {
  const file = join(directory, "absurd.sql");
  const known = await fs.readFile(file, "utf8").catch(() => undefined);
  if (known) return await identify(known);
  try {
    const response = await fetch(SOURCE, { signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT)]) });
    const text = await response.text();
    if (!response.ok) throw new Error(`the answer was ${response.status} ${text.slice(0, 100)}`);
    await fs.writeFile(file, text);
    return await identify(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(
      `its schema could not be downloaded (${reason}): save sql/absurd.sql of github.com/earendil-works/absurd as ${file}`,
      { cause: error },
    );
  }
}

async function identify(text: string): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  return `absurd.sql of SHA-256 ${digest.toHex().slice(0, 12)}…`;
}
