import * as fs from "node:fs/promises";

/** Whether `path` is a file or a directory. */
export function exists(path: string): Promise<boolean> {
  return fs.access(path).then(() => true, () => false);
}

/** Reads the text of a file, or undefined if there is no such file. */
export async function readText(path: string): Promise<string | undefined> {
  try {
    return await fs.readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
