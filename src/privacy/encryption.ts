import { createHmac, webcrypto } from "node:crypto";
import { DecryptionFailed } from "../errors.ts";
import { refuseUnknownKeys } from "../suggest.ts";
import { base64, decodeText, encodeText } from "../wire/base64.ts";
import { decode, decodeArguments } from "../wire/decode.ts";
import { Incomplete } from "../wire/missing.ts";

/** The keys that encrypt and decrypt arguments and results. */
export interface Encryption {
  /**
   * Keys for AES-256-GCM by id: Base64 of 32 random bytes, or a `CryptoKey`. The id is stored with every value that its
   * key encrypted, so never reuse an id for another key.
   */
  keys: Record<string, webcrypto.CryptoKey | string>;
  /** The id of the key that encrypts new values. The other keys only decrypt older values. */
  current: string;
}

/** Not that of lib "dom", which is not there in every project. */
type CryptoKey = webcrypto.CryptoKey;

/** The place where a value is stored. It can be decrypted there and nowhere else. */
export interface ValuePlace {
  readonly funcName: string;
  readonly queue: string;
  readonly column: "params" | "returned" | "step.returned" | "signal.payload";
}

/** An encrypted value, as JSON. `encode()` never writes its tag, so no plain value can look like it. */
interface Envelope {
  readonly $: "Encrypted";
  readonly key: string;
  /** Whether the value is bound to no queue: see {@linkcode KeyRing.encrypt}. */
  readonly anyQueue?: true;
  /** Base64 of the 12 bytes of the IV, followed by the ciphertext with its tag. */
  readonly v: string;
}

/** The beginning of every encrypted value. It is 24 bytes of JSON, so its Base64 does not depend on what follows. */
const PREFIX = btoa('{"$":"Encrypted","key":"');
const IV_BYTES = 12;
/** How many items {@linkcode mapInChunks} handles at a time. */
const CHUNK_SIZE = 100;
const ALGORITHM = "AES-GCM";
/** The IV that derives the key of {@linkcode KeyRing.digest}. A random IV equals it with a probability of 2^-96. */
const DIGEST_IV = "firefly:uniq";

/** Whether a stored text is an encrypted value. */
export function isEncrypted(text: string): boolean {
  return text[0] === PREFIX[0] && text.startsWith(PREFIX); // the first comparison suffices for nearly all texts
}

/**
 * Decodes a stored text after {@linkcode KeyRing.decrypt} tried to decrypt it.
 *
 * @throws {DecryptionFailed} If it is still encrypted.
 */
export function decodeParams(text: string, keys: KeyRing | undefined): unknown {
  if (isEncrypted(text)) throw toDecryptionError(text, keys);
  return decode(text);
}

/** As {@linkcode decodeParams}, for arguments in which results of other tasks may be missing. */
export function decodeTaskArguments(text: string, keys: KeyRing | undefined): unknown {
  if (isEncrypted(text)) throw toDecryptionError(text, keys);
  return decodeArguments(text);
}

/** Decodes a stored value to look at it: in arguments, results of other tasks stay missing. */
export function decodeStored(text: string, column: ValuePlace["column"], keys: KeyRing | undefined): unknown {
  if (column === "returned") return decodeParams(text, keys);
  const args = decodeTaskArguments(text, keys);
  return args instanceof Incomplete ? args.value : args;
}

/** Encrypts and decrypts stored values with the keys of an instance. */
export class KeyRing {
  readonly #current: string;
  readonly #keys: ReadonlyMap<string, CryptoKey | Uint8Array<ArrayBuffer>>;
  readonly #imported = new Map<string, Promise<CryptoKey>>();
  readonly #digestKeys = new Map<string, Promise<Uint8Array>>();

  /**
   * Checks the keys.
   *
   * @throws {TypeError | RangeError} If one is not valid.
   */
  constructor(encryption: Encryption, action: string) {
    if (typeof encryption !== "object" || encryption === null) {
      throw new TypeError(`Cannot ${action} as "encryption" must be an object with "keys" and "current"`);
    }
    refuseUnknownKeys(encryption, ["keys", "current"], `${action} with "encryption"`);
    const { keys, current } = encryption;
    if (typeof keys !== "object" || keys === null) {
      throw new TypeError(`Cannot ${action} as "encryption.keys" must be an object of keys by id`);
    }
    this.#keys = new Map(Object.entries(keys).map(([id, key]) => [id, checkKey(id, key, action)]));
    if (typeof current !== "string" || !this.#keys.has(current)) {
      const ids = [...this.#keys.keys()].join(", ") || "none";
      throw new RangeError(
        `Cannot ${action} as "encryption.current" must be the id of one of its keys (${ids}): current value is ${
          JSON.stringify(current) ?? "undefined"
        }`,
      );
    }
    this.#current = current;
  }

  /** Whether there is a key with this id. */
  has(id: string): boolean {
    return this.#keys.has(id);
  }

  /**
   * Encrypts a value in the wire format for its place. With `anyQueue` it can be decrypted in any queue: for arguments
   * that may replace those of a duplicate in another queue.
   */
  async encrypt(text: string, place: ValuePlace, { anyQueue = false } = {}): Promise<string> {
    const iv = webcrypto.getRandomValues(new Uint8Array(IV_BYTES));
    const algorithm = { name: ALGORITHM, iv, additionalData: encodeBinding(place, anyQueue) };
    const ciphertext = await webcrypto.subtle.encrypt(algorithm, await this.#key(this.#current), base64.decode(text));
    const bytes = new Uint8Array(IV_BYTES + ciphertext.byteLength);
    bytes.set(iv);
    bytes.set(new Uint8Array(ciphertext), IV_BYTES);
    const envelope: Envelope = {
      $: "Encrypted",
      key: this.#current,
      ...(anyQueue ? { anyQueue } : {}),
      v: base64.encode(bytes),
    };
    return encodeText(JSON.stringify(envelope), Infinity);
  }

  /** Decrypts a stored text. Returns text that is not encrypted, or cannot be decrypted, unchanged. */
  async decrypt(text: string, place: ValuePlace): Promise<string> {
    const envelope = isEncrypted(text) ? readEnvelope(text) : undefined;
    if (!envelope || !this.has(envelope.key)) return text;
    try {
      const bytes = base64.decode(envelope.v);
      const algorithm = {
        name: ALGORITHM,
        iv: bytes.subarray(0, IV_BYTES),
        additionalData: encodeBinding(place, envelope.anyQueue === true),
      };
      const key = await this.#key(envelope.key);
      return base64.encode(new Uint8Array(await webcrypto.subtle.decrypt(algorithm, key, bytes.subarray(IV_BYTES))));
    } catch {
      return text; // decodeParams() finds it still encrypted, and throws
    }
  }

  /**
   * Computes a keyed digest of `text`. Without the current key it reveals nothing about the text, even to guessing: a
   * plain digest of arguments that have few possible values is as good as the arguments themselves.
   */
  async digest(text: string): Promise<string> {
    return await this.#digestBy(this.#current, text);
  }

  /** Computes the digest by each key: that of the current one first, then those that earlier ones may have left. */
  async digests(text: string): Promise<string[]> {
    const others = [...this.#keys.keys()].filter((id) => id !== this.#current);
    return await Promise.all([this.#current, ...others].map((id) => this.#digestBy(id, text)));
  }

  async #digestBy(id: string, text: string): Promise<string> {
    let key = this.#digestKeys.get(id);
    if (!key) this.#digestKeys.set(id, key = this.#deriveDigestKey(id));
    return createHmac("sha256", await key).update(text).digest("hex");
  }

  /** Derives the key by encrypting a constant: a `CryptoKey` may be neither extractable nor usable for anything else. */
  async #deriveDigestKey(id: string): Promise<Uint8Array> {
    const algorithm = { name: ALGORITHM, iv: new TextEncoder().encode(DIGEST_IV) };
    const bytes = await webcrypto.subtle.encrypt(algorithm, await this.#key(id), new Uint8Array(32));
    return new Uint8Array(bytes, 0, 32);
  }

  #key(id: string): Promise<CryptoKey> {
    const known = this.#imported.get(id);
    if (known) return known;
    const configured = this.#keys.get(id)!;
    const key = configured instanceof Uint8Array
      ? webcrypto.subtle.importKey("raw", configured, ALGORITHM, false, ["encrypt", "decrypt"])
      : Promise.resolve(configured);
    this.#imported.set(id, key);
    return key;
  }
}

/** Maps `items` with `act`, 100 at a time: thousands of concurrent calls of Web Crypto take twice as long. */
export async function mapInChunks<T, R>(items: readonly T[], act: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let i = 0; i < items.length; i += CHUNK_SIZE) {
    results.push(...await Promise.all(items.slice(i, i + CHUNK_SIZE).map(act)));
  }
  return results;
}

/** A task whose arguments may have to be decrypted. */
interface TaskWithParams {
  readonly funcName: string;
  readonly queue: string;
  params: string | null;
}

/** Decrypts the arguments of claimed tasks in place, as far as `keys` can. */
export async function decryptTasks(tasks: readonly TaskWithParams[], keys: KeyRing): Promise<void> {
  if (!tasks.some(({ params }) => params !== null && isEncrypted(params))) return;
  await mapInChunks(tasks, async (task) => {
    const { params, funcName, queue } = task;
    if (params !== null) task.params = await keys.decrypt(params, { funcName, queue, column: "params" });
  });
}

/** The columns of a stored task that concern encryption. */
interface StoredColumns {
  readonly func_name: string;
  readonly queue: string;
  readonly params: string;
  readonly returned: string | null;
}

/** Decrypts the arguments and the result of a row, as far as `keys` can. */
export async function decryptRow<R extends StoredColumns>(row: R, keys: KeyRing | undefined): Promise<R> {
  const { func_name: funcName, queue, params, returned } = row;
  if (!keys || !isEncrypted(params) && !(returned !== null && isEncrypted(returned))) return row;
  return {
    ...row,
    params: await keys.decrypt(params, { funcName, queue, column: "params" }),
    returned: returned === null ? null : await keys.decrypt(returned, { funcName, queue, column: "returned" }),
  };
}

/** Encodes the place that a value is bound to, as the additional data that AES-GCM authenticates. */
function encodeBinding({ column, funcName, queue }: ValuePlace, anyQueue: boolean): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify(["firefly", column, funcName, anyQueue ? null : queue]));
}

function readEnvelope(text: string): Envelope | undefined {
  try {
    const { key, v, anyQueue } = JSON.parse(decodeText(text, Infinity));
    if (typeof key !== "string" || typeof v !== "string") return undefined;
    return { $: "Encrypted", key, v, ...(anyQueue === true ? { anyQueue } : {}) };
  } catch {
    return undefined;
  }
}

/** Makes the error for a text that is still encrypted after `keys` were tried. */
function toDecryptionError(text: string, keys: KeyRing | undefined): DecryptionFailed {
  const id = readEnvelope(text)?.key;
  if (id === undefined) return new DecryptionFailed("Cannot decrypt a value as it is damaged", { keyId: "" });
  if (keys?.has(id)) {
    const reason = "it was changed, or moved from another task, column or queue, or the key is not the same as before";
    return new DecryptionFailed(`Cannot decrypt a value with key "${id}" as ${reason}`, { keyId: id });
  }
  return new DecryptionFailed(`Cannot decrypt a value as its key "${id}" is not among "encryption.keys"`, {
    keyId: id,
    isKeyMissing: true,
  });
}

/** Checks a configured key, and returns it ready for use. Errors do not contain the key. */
function checkKey(id: string, key: unknown, action: string): CryptoKey | Uint8Array<ArrayBuffer> {
  if (!/^[\w.-]{1,64}$/.test(id)) {
    throw new RangeError(
      `Cannot ${action} as the id of a key in "encryption.keys" must be 1 to 64 letters, digits, "_", "." and "-": current value is ${
        JSON.stringify(id)
      }`,
    );
  }
  const where = `key "${id}" of "encryption.keys"`;
  if (typeof key === "string") {
    const bytes = tryDecodeBase64(key);
    if (bytes?.length === 32) return bytes;
    const found = bytes ? `that of ${bytes.length} bytes` : `text of ${key.length} characters that is not Base64`;
    throw new RangeError(`Cannot ${action} as ${where} must be Base64 of 32 bytes: current value is ${found}`);
  }
  if (Object.prototype.toString.call(key) !== "[object CryptoKey]") {
    throw new TypeError(`Cannot ${action} as ${where} must be Base64 or a CryptoKey: current value is ${typeof key}`);
  }
  const { algorithm, usages } = key as CryptoKey;
  const { name, length } = algorithm as AesKeyAlgorithm;
  if (name === ALGORITHM && length === 256 && usages.includes("decrypt") && usages.includes("encrypt")) {
    return key as CryptoKey;
  }
  throw new RangeError(
    `Cannot ${action} as ${where} must be a CryptoKey for AES-GCM of 256 bits that may encrypt and decrypt`,
  );
}

function tryDecodeBase64(text: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return base64.decode(text);
  } catch {
    return undefined;
  }
}
