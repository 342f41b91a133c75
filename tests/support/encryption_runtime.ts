/** Encrypts and decrypts on whatever runtime this runs on; throws if it cannot, or can where it must not. */
import { decodeParams, KeyRing } from "../../src/privacy/encryption.ts";
import { encodePlain } from "./encode.ts";

const key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const place = { funcName: "mail.send", queue: "default", column: "params" } as const;
/** Encrypted on Deno with this key for this place. */
const FROM_DENO =
  "eyIkIjoiRW5jcnlwdGVkIiwia2V5IjoiazEiLCJ2IjoiTCt2Rk1JbkdDTURaS3A3Z2l6Vi9Pdk5sRWFTVGtjaTZIRC9wVjE4Vm5xdFZFalZEeFZ2NURlWT0ifQ==";

const keys = new KeyRing({ keys: { k1: key }, current: "k1" }, "make an instance");
const own = await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
const rings = [keys, new KeyRing({ keys: { own }, current: "own" }, "make an instance")];
const check = (holds: boolean, what: string) => {
  if (!holds) throw new Error(what);
};

for (const ring of rings) {
  const encrypted = await ring.encrypt(encodePlain(["ünï", 1n]), place);
  const [text] = decodeParams(await ring.decrypt(encrypted, place), ring) as unknown[];
  check(text === "ünï", "round trip");
  const elsewhere = await ring.decrypt(encrypted, { ...place, queue: "other" });
  check(elsewhere === encrypted, "another queue");
  check(await ring.digest("a") === await ring.digest("a"), "digest");
}
const [word] = decodeParams(await keys.decrypt(FROM_DENO, place), keys) as unknown[];
check(word === "from Deno", "a value from Deno");
check(
  await keys.digest("a") === "4eed3c1ada3d4413f1ad9d02c00048053aaa3afbe4348ce71e015876019976c8",
  "the digest of Deno",
);
