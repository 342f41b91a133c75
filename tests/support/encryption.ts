import type { Encryption } from "../../src/privacy/encryption.ts";

/** A key of 32 bytes, all the same. */
export const keyOf = (byte: number) => new Uint8Array(32).fill(byte).toBase64();

/** A key ring of one key. */
export const OLD: Encryption = { keys: { old: keyOf(1) }, current: "old" };

/** The same after its key was replaced: the old one still decrypts. */
export const ROTATED: Encryption = { keys: { old: keyOf(1), new: keyOf(2) }, current: "new" };
