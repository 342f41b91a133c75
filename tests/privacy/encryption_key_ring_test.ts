import { assert, assertEquals, assertThrows } from "@std/assert";
import { DecryptionFailed } from "../../mod.ts";
import { decodeParams, type Encryption, isEncrypted, KeyRing, type ValuePlace } from "../../src/privacy/encryption.ts";
import { encodePlain } from "../support/encode.ts";
import { OLD, ROTATED } from "../support/encryption.ts";

const PLACE: ValuePlace = { funcName: "mail.send", queue: "default", column: "params" };
const ring = (encryption: Encryption) => new KeyRing(encryption, "make an instance");

Deno.test("encryption: each value has an IV of its own", async () => {
  const keys = ring(OLD);
  const text = encodePlain([1]);
  const encrypted = await Promise.all(Array.from({ length: 100 }, () => keys.encrypt(text, PLACE)));

  assertEquals(new Set(encrypted.map((one) => JSON.parse(atob(one)).v.slice(0, 16))).size, 100);
});

const otherPlaces: Record<string, Partial<ValuePlace>> = {
  "another task": { funcName: "mail.list" },
  "another queue": { queue: "slow" },
  "the other column": { column: "returned" },
};

for (const [what, other] of Object.entries(otherPlaces)) {
  Deno.test(`KeyRing.decrypt() refuses what was encrypted for ${what}`, async () => {
    const keys = ring(OLD);
    const encrypted = await keys.encrypt(encodePlain(["a"]), { ...PLACE, ...other });

    const decrypted = await keys.decrypt(encrypted, PLACE);

    const error = assertThrows(() => decodeParams(decrypted, keys), DecryptionFailed, 'with key "old"');
    assertEquals([error.keyId, error.isKeyMissing], ["old", false]);
    assertEquals(decodeParams(await keys.decrypt(encrypted, { ...PLACE, ...other }), keys), ["a"]);
  });
}

Deno.test("KeyRing.decrypt() refuses a value of which any byte was changed, and one that claims another key or any queue", async () => {
  const keys = ring(ROTATED);
  const envelope = JSON.parse(atob(await keys.encrypt(encodePlain(["a"]), PLACE)));
  const bytes = Uint8Array.fromBase64(envelope.v);
  const forged = [
    ...Array.from(bytes, (byte, i) => ({ ...envelope, v: bytes.with(i, byte ^ 1).toBase64() })),
    { ...envelope, v: bytes.subarray(0, -1).toBase64() },
    { ...envelope, v: "" },
    { ...envelope, key: "old" },
    { $: envelope.$, key: envelope.key, anyQueue: true, v: envelope.v },
  ];

  for (const one of forged) {
    const text = btoa(JSON.stringify(one));
    assert(isEncrypted(text));
    const decrypted = await keys.decrypt(text, PLACE);
    assertThrows(() => decodeParams(decrypted, keys), DecryptionFailed);
  }
  assertThrows(() => decodeParams(btoa('{"$":"Encrypted","key":"old"'), keys), DecryptionFailed, "damaged");
});

Deno.test("no plain value is taken for an encrypted one", async () => {
  const [plain] = [{ $: "Encrypted", key: "old", v: "AAAA" }];
  const text = encodePlain(plain);

  assertEquals(isEncrypted(text), false);
  assertEquals(decodeParams(await ring(OLD).decrypt(text, PLACE), ring(OLD)), plain);
});
