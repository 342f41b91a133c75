import { embeddedStatus } from "../../src/embedded/embedded.ts";
import { join, resolve } from "node:path";

/** A file as the walk found it. */
export interface FoundFile {
  path: string;
  size: number;
  modified: number;
}

/** What a walk found, and what it left out. */
export interface Walk {
  files: FoundFile[];
  /** Files above {@linkcode LARGEST}, which handlers would read into memory as a whole. */
  tooLarge: number;
  /** Folders that this user may not read. */
  unreadable: string[];
}

/** The largest file that the demo measures, in bytes. */
export const LARGEST = 64 * 1024 * 1024;
const SKIPPED = [".git", "node_modules"];

/** The folders of a demo without arguments: this repository, and what the embedded server was unpacked to. */
export async function defaultFolders(repository: string): Promise<string[]> {
  const { home } = await embeddedStatus();
  const folders = [resolve(repository)];
  try {
    for await (const { name, isDirectory } of Deno.readDir(home)) {
      if (isDirectory && /^postgresql-[\d.]+/.test(name) && !name.includes(".tmp-")) folders.push(join(home, name));
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error; // another database is in use, and this never was
  }
  return folders;
}

/** Finds the regular files in and below `folders`, each once. */
export async function findFiles(folders: string[]): Promise<Walk> {
  const walk: Walk = { files: [], tooLarge: 0, unreadable: [] };
  for (const folder of folders) await walkFolder(folder, walk);
  const once = new Map(walk.files.map((file) => [file.path, file]));
  return { ...walk, files: [...once.values()].sort((a, b) => a.path < b.path ? -1 : 1) };
}

/** Whether a file is the one that the walk found. */
export async function isUnchanged({ path, size, modified }: FoundFile): Promise<boolean> {
  const now = await Deno.stat(path).catch(() => undefined);
  return now?.size === size && now.mtime?.getTime() === modified;
}

async function walkFolder(folder: string, walk: Walk): Promise<void> {
  try {
    for await (const { name, isDirectory, isFile } of Deno.readDir(folder)) {
      const path = join(folder, name);
      if (isDirectory && !SKIPPED.includes(name)) await walkFolder(path, walk);
      if (isFile) await addFile(path, walk);
    }
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return; // it was there a moment ago
    if (!(error instanceof Deno.errors.PermissionDenied)) throw error;
    walk.unreadable.push(folder);
  }
}

async function addFile(path: string, walk: Walk): Promise<void> {
  const found = await Deno.lstat(path).catch(() => undefined);
  if (!found) return;
  if (found.size > LARGEST) walk.tooLarge++;
  else walk.files.push({ path, size: found.size, modified: found.mtime?.getTime() ?? 0 });
}
