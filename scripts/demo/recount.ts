import { Buffer, isUtf8 } from "node:buffer";
import { type FoundFile, isUnchanged } from "./files.ts";
import type { Measure } from "./tasks.ts";

/** What became of the tasks, by the paths of their files. */
export interface Outcomes {
  completed: ReadonlyMap<string, Measure>;
  failed: ReadonlySet<string>;
}

/** Where the database and the recount disagree. */
export interface Comparison {
  differences: string[];
  /** Files that somebody wrote to or deleted meanwhile, so that no two readers need agree. */
  changed: string[];
}

const NEWLINE = 0x0a;

/** Measures files here, by other code than the handler's; undefined stands for a file that is no text, or unreadable. */
export async function recount(files: readonly FoundFile[]): Promise<Map<string, Measure | undefined>> {
  const counted = new Map<string, Measure | undefined>();
  for (const { path } of files) counted.set(path, await recountFile(path));
  return counted;
}

async function recountFile(path: string): Promise<Measure | undefined> {
  const content = await Deno.readFile(path).catch(() => undefined);
  if (content === undefined || !isUtf8(content)) return undefined;
  let lines = 0;
  for (const byte of content) {
    if (byte === 0) return undefined;
    if (byte === NEWLINE) lines++;
  }
  const words = Buffer.from(content).toString("utf8").split(/\s+/).filter((word) => word !== "").length;
  const sha256 = new Uint8Array(await crypto.subtle.digest("SHA-256", content)).toHex();
  return { bytes: content.length, lines, words, sha256 };
}

/** Compares file by file what the tasks did with what the recount found. */
export async function compare(
  files: readonly FoundFile[],
  { completed, failed }: Outcomes,
  counted: ReadonlyMap<string, Measure | undefined>,
): Promise<Comparison> {
  const comparison: Comparison = { differences: [], changed: [] };
  for (const file of files) {
    const { path } = file;
    const difference = differenceOf(completed.get(path), failed.has(path), counted.get(path));
    if (difference === undefined) continue;
    if (await isUnchanged(file)) comparison.differences.push(`${path}: ${difference}`);
    else comparison.changed.push(path);
  }
  const known = new Set(files.map(({ path }) => path));
  for (const path of [...completed.keys(), ...failed]) {
    if (!known.has(path)) comparison.differences.push(`${path}: nobody scheduled it`);
  }
  return comparison;
}

function differenceOf(measured: Measure | undefined, failed: boolean, counted: Measure | undefined) {
  if (measured && failed) return "its task failed, and yet there is a row";
  if (!measured && !failed) return "its task has not ended";
  if (measured && !counted) return "its task completed, and the recount cannot read it as text";
  if (!measured && counted) return "its task failed, and the recount reads it as text";
  for (const key of ["bytes", "lines", "words", "sha256"] as const) {
    if (measured?.[key] !== counted?.[key]) return `${key} ${measured?.[key]} by its task, ${counted?.[key]} recounted`;
  }
}
