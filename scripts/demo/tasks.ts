import type { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { current, task } from "../../mod.ts";

/** What is known of a text. */
export interface Measure {
  bytes: number;
  lines: number;
  words: number;
  sha256: string;
}

/** Measures a text file, and writes a row about it that commits together with the task's `completed`, or not at all. */
export const measureFile = task(
  { name: "demo.measure_file", queue: "demo", maxRetries: 1, retryDelay: "1s" },
  async (path: string): Promise<Measure> => {
    const { sql, signal } = current();
    const content = await readFile(path, { signal });
    const text = textOf(content);
    const measure = {
      bytes: content.length,
      lines: text.split("\n").length - 1,
      words: text.match(/\S+/g)?.length ?? 0,
      sha256: createHash("sha256").update(content).digest("hex"),
    };
    await sql`
      INSERT INTO firefly_demo_data.demo_file (path, bytes, lines, words, sha256)
      VALUES (${path}, ${measure.bytes}, ${measure.lines}, ${measure.words}, ${measure.sha256})
    `;
    return measure;
  },
);

/** Tells when it was started, in milliseconds by this machine's clock. */
export const tellTime = task(
  { name: "demo.tell_time", queue: "demo" },
  () => performance.timeOrigin + performance.now(),
);

function textOf(content: Buffer): string {
  if (content.includes(0)) throw new TypeError("The file is no text as it holds a NUL");
  return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(content);
}
