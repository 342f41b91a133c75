/** Encodes bytes, or the UTF-8 of a string, as Base64 with padding. */
export function encodeBase64(data: ArrayBuffer | Uint8Array | string): string;

/** Decodes Base64; throws a `TypeError` when it is malformed. */
export function decodeBase64(b64: string): Uint8Array<ArrayBuffer>;
