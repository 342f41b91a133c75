import { encode } from "../../src/wire/encode.ts";
import type { WireLimits } from "../../src/wire/format.ts";

/**
 * Encodes a value without Blobs.
 *
 * @throws {TypeError} If it has some. And what encode() throws.
 */
export function encodePlain(value: unknown, limits?: Partial<WireLimits>): string {
  const text = encode(value, limits);
  if (typeof text !== "string") throw new TypeError("Cannot encode at once what has Blobs");
  return text;
}
