import { decodeBase64, encodeBase64 } from "@std/encoding/base64";
import { FireflyFormatError, FireflyLimitError } from "../errors.ts";
import { atob, btoa, Math, SyntaxError, Uint8Array } from "./built_ins.ts";

/** Converts bytes to Base64 and back: standard alphabet, padded, strict. */
export interface Base64 {
  /** Returns the Base64 of `bytes`. */
  encode(bytes: Uint8Array<ArrayBuffer>): string;
  /**
   * Returns the bytes of `text`, in a buffer of their own. Skips ASCII whitespace.
   *
   * @throws {FireflyFormatError} If `text` is not the canonical Base64 of its bytes.
   */
  decode(text: string): Uint8Array<ArrayBuffer>;
}

/** Base64 for every runtime, Node 22 among them. It looks up `Uint8Array` and errors among the globals with each call. */
export const portableBase64: Base64 = {
  encode: encodeBase64,
  decode(text) {
    const compact = text.replace(/[\t\n\f\r ]+/g, "");
    try {
      if (compact.length % 4 !== 0) {
        throw new SyntaxError("The length is not a multiple of four");
      }
      const bytes = decodeBase64(compact);
      // Only the last four characters may contain bits that decoding ignores.
      const tail = bytes.slice(compact.length / 4 * 3 - 3);
      if (compact !== "" && encodeBase64(tail) !== compact.slice(-4)) {
        throw new SyntaxError("The unused last bits are not zero");
      }
      return bytes;
    } catch (cause) {
      throw notBase64Error(cause);
    }
  },
};

/** Base64 built into the runtime, if it has it: many times faster. It accepts and rejects the same text. */
export const nativeBase64: Base64 | undefined = "fromBase64" in Uint8Array && "toBase64" in Uint8Array.prototype
  ? {
    encode: (bytes) => bytes.toBase64(),
    decode(text) {
      try {
        return Uint8Array.fromBase64(text, { lastChunkHandling: "strict" });
      } catch (cause) {
        throw notBase64Error(cause);
      }
    },
  }
  : undefined;

/** The fastest Base64 of this runtime. */
export const base64: Base64 = nativeBase64 ?? portableBase64;

// Up to this many characters, btoa() and atob() cost less than the byte arrays
// that the other way allocates: a quarter for the parameters of most tasks.
const SHORT = 1024;
const ASCII = /^[ -~]*$/;

const utf8Encoder = new TextEncoder();
const utf8Decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Returns the Base64 of `text` in UTF-8.
 *
 * @throws {FireflyLimitError} If it takes more than `maxBytes` bytes.
 */
export function encodeText(text: string, maxBytes: number): string {
  checkSize(text.length, maxBytes);
  if (text.length <= SHORT && ASCII.test(text)) return btoa(text);
  const bytes = utf8Encoder.encode(text);
  checkSize(bytes.length, maxBytes);
  return base64.encode(bytes);
}

/**
 * Returns the text whose UTF-8 has the Base64 `encoded`.
 *
 * @throws {FireflyFormatError} If `encoded` is not Base64, or its bytes are not UTF-8.
 * @throws {FireflyLimitError} If it takes more than `maxBytes` bytes.
 */
export function decodeText(encoded: string, maxBytes: number): string {
  const short = decodeShortText(encoded, ASCII);
  if (short !== undefined) {
    checkSize(short.length, maxBytes);
    return short;
  }
  const bytes = base64.decode(encoded);
  checkSize(bytes.length, maxBytes);
  try {
    return utf8Decoder.decode(bytes);
  } catch (cause) {
    throw new FireflyFormatError("Cannot decode text as it is not UTF-8", {
      cause,
    });
  }
}

/**
 * Returns the text of `encoded` if it is short, has only these `characters`, all of them ASCII, and is written as btoa()
 * writes it; else undefined.
 */
export function decodeShortText(encoded: string, characters: RegExp): string | undefined {
  if (encoded.length > SHORT) return undefined;
  try {
    const text = atob(encoded);
    return characters.test(text) && isCanonical(encoded, text) ? text : undefined;
  } catch {
    return undefined;
  }
}

/** Whether `encoded`, the Base64 of `text`, is canonical. atob() also accepts spaces, and unused bits at the end. */
function isCanonical(encoded: string, text: string): boolean {
  if (encoded.length !== Math.ceil(text.length / 3) * 4) return false;
  const tail = text.length % 3;
  return tail === 0 || (tail === 1 ? FOUR_UNUSED_BITS : TWO_UNUSED_BITS).test(encoded.slice(-4));
}

/** The ends of canonical Base64 with padding: the unused bits of the last character are zero. */
const [FOUR_UNUSED_BITS, TWO_UNUSED_BITS] = [/[AQgw]==$/, /[AEIMQUYcgkosw048]=$/];

/** Rejects a value that takes more `bytes` of JSON than `maxBytes`. */
export function checkSize(bytes: number, maxBytes: number): void {
  if (bytes > maxBytes) {
    throw new FireflyLimitError(
      `Cannot carry a value of more than ${maxBytes} bytes of JSON`,
    );
  }
}

function notBase64Error(cause: unknown): FireflyFormatError {
  return new FireflyFormatError("Cannot decode text as it is not Base64", {
    cause,
  });
}
