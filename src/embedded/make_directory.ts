import * as fs from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { exists } from "./files.ts";

/** What follows `path` in the names of temporary files and directories beside it. */
export const TEMPORARY = ".tmp-";
/** After this many milliseconds, a process no longer waits for another one that makes the directory. */
const WAIT_TIMEOUT = 5_000;
/** After this many milliseconds, the leftovers of a killed process may be removed: an hour. */
const ABANDONED_AFTER = 3_600_000;

/**
 * Makes the directory `path` completely or not at all, even if many processes
 * try at once or one is killed: `build` fills a temporary directory next to it,
 * and a rename moves that into place.
 */
export async function makeDirectory(
  path: string,
  build: (directory: string) => Promise<void>,
): Promise<void> {
  const turn = `${path}${TEMPORARY}turn`;
  if (!await takeTurn(turn, path)) return;
  await removeLeftovers(path);
  const temporary = await fs.mkdtemp(path + TEMPORARY);
  try {
    await build(temporary);
    await fs.rename(temporary, path).catch(async (error) => {
      if (!await exists(path)) throw error; // else another process was first
    });
  } finally {
    await fs.rm(temporary, { recursive: true, force: true });
    await fs.rm(turn, { force: true });
  }
}

/**
 * Waits while another process makes `path`, as six processes that all make it
 * take four times as long. Gives up waiting after {@linkcode WAIT_TIMEOUT},
 * since the other process may have been killed. Resolves to false once `path`
 * exists, and to true if this process is to make it.
 */
async function takeTurn(turn: string, path: string): Promise<boolean> {
  while (!await exists(path)) {
    try {
      await fs.writeFile(turn, "", { flag: "wx" });
      return true;
    } catch {
      if (await readAge(turn) > WAIT_TIMEOUT) return true;
    }
    await sleep(20);
  }
  return false;
}

/** Removes what killed processes left next to `path` more than an hour ago. */
async function removeLeftovers(path: string): Promise<void> {
  for (const name of await fs.readdir(dirname(path))) {
    if (!name.startsWith(basename(path) + TEMPORARY)) continue;
    const leftover = join(dirname(path), name);
    if (await readAge(leftover) < ABANDONED_AFTER) continue;
    await fs.rm(leftover, { recursive: true, force: true });
  }
}

/** Reads how many milliseconds ago `path` was made or changed. */
async function readAge(path: string): Promise<number> {
  const changed = await fs.stat(path).then(({ mtimeMs }) => mtimeMs, () => 0);
  return Math.abs(Date.now() - changed);
}
