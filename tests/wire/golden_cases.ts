/** Checks of the values whose text is pinned in golden.json; without any API of one runtime. @module */
import { FireflyFormatError } from "../../src/errors.ts";
import { decode } from "../../src/wire/decode.ts";
import { encode } from "../../src/wire/encode.ts";
import golden from "./golden.json" with { type: "json" };
import { GOLDEN } from "./values/golden.ts";
import { difference } from "./values/same.ts";

const TEXTS: Record<string, string> = golden;

/** What is wrong with the pinned texts on this runtime. */
export async function checkGolden(): Promise<string[]> {
  const wrong: string[] = [];
  for (const [name, text] of Object.entries(TEXTS)) {
    const make = GOLDEN[name];
    if (make === undefined) continue;
    try {
      const found = difference(decode(text), make());
      if (found !== undefined) wrong.push(`${name} is read as something else: ${found}`);
      if (await encode(make()) !== text) wrong.push(`${name} is written as ${atob(await encode(make()))}`);
    } catch (error) {
      const isMissing = name === "Float16Array" && globalThis.Float16Array === undefined;
      if (!isMissing || !(error instanceof FireflyFormatError)) wrong.push(`${name}: ${error}`);
    }
  }
  return [...wrong, ...await checkBlobs()];
}

/** Blobs and Files can only be compared in time. */
async function checkBlobs(): Promise<string[]> {
  const blob = decode(TEXTS.Blob!) as Blob;
  const file = decode(TEXTS.File!) as File;
  const found = [
    blob instanceof Blob,
    blob.type,
    await blob.text(),
    file instanceof File,
    file.type,
    await file.text(),
    file.name,
    file.lastModified,
  ];
  const expected = [true, "image/x", "ab", true, "image/y", "cd", "c.d", 7];
  return found.join() === expected.join() ? [] : [`Blob and File are read as ${found}`];
}

/** What hostile text does to prototypes on this runtime; Deno has no accessor `__proto__` that it could abuse. */
export function checkPollution(): string[] {
  const texts = [
    '{"__proto__":{"polluted":1}}',
    '{"__proto__":{"polluted":1,"a":{"$":"undefined"}}}',
    '{"a":[],"__proto__":{"$":"Map","v":[["polluted",1]]}}',
    '{"$":"Object","v":[["__proto__",{"polluted":1}]]}',
    '{"$":"Object","v":[["constructor",{"prototype":{"polluted":1}}]]}',
    '{"$":"Array","n":1,"v":[],"p":[["__proto__",{"polluted":1}]]}',
    '{"$":"Graph","root":{"__proto__":{"$":"Ref","v":0}},"refs":[{"polluted":1}]}',
    '{"$":"Error","name":"Error","cause":{"__proto__":{"polluted":1}}}',
    '{"constructor":{"prototype":{"polluted":1}}}',
  ];
  return texts.flatMap((text) => {
    const value = decode(btoa(text)) as object;
    const prototypes: unknown[] = [Object.prototype, Array.prototype, Error.prototype];
    const isOrdinary = prototypes.includes(Object.getPrototypeOf(value));
    const isClean = !("polluted" in value) && !("polluted" in {});
    return isOrdinary && isClean ? [] : [`${text} changes a prototype`];
  });
}
