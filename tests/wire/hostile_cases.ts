/** Texts that may do no harm; without any API of one runtime. @module */
import { FireflyFormatError, FireflyLimitError } from "../../src/errors.ts";
import { base64 } from "../../src/wire/base64.ts";
import { decode } from "../../src/wire/decode.ts";
import { encodePlain } from "../support/encode.ts";

const utf8 = new TextEncoder();

/** The wire text of `json`, whatever that is. */
export function textOf(json: string): string {
  return base64.encode(utf8.encode(json));
}

/** `levels` arrays, each in the next. */
function nest(levels: number, inner = ""): string {
  return "[".repeat(levels) + inner + "]".repeat(levels);
}

/** A chain of references as long as `length`. */
function chain(length: number): string {
  const refs = Array.from({ length }, (_, index) => index + 1 < length ? `[{"$":"Ref","v":${index + 1}}]` : "[]");
  return `{"$":"Graph","root":{"$":"Ref","v":0},"refs":[${refs}]}`;
}

/** A value of 2 ** `levels` paths, in text that is linear in `levels`. */
export function bomb(levels: number): string {
  const refs = Array.from({ length: levels }, (_, index) => {
    const next = index + 1 < levels ? `{"$":"Ref","v":${index + 1}}` : "0";
    return `[${next},${next}]`;
  });
  return `{"$":"Graph","root":{"$":"Ref","v":0},"refs":[${refs}]}`;
}

/** JSON that is no value of the wire format. */
export const MALFORMED: readonly string[] = [
  "",
  " ",
  "[1,",
  "undefined",
  "nul",
  "{a:1}",
  "\ufeff[1]",
  "[1]x",
  '{"$":1}',
  '{"$":null}',
  '{"$":{}}',
  '{"$":""}',
  '{"$":"Foo"}',
  '{"$":"Function"}',
  '{"$":"WebSocket"}',
  '{"$":"constructor"}',
  '{"$":"__proto__"}',
  '{"$":"toString"}',
  '{"$":"View"}',
  '{"$":"SharedArrayBuffer","v":""}',
  '{"$":"undefined","v":1}',
  '{"$":"undefined","__proto__":1}',
  '{"$":"Date","v":null,"x":1}',
  '{"$":"number"}',
  '{"$":"number","v":1}',
  '{"$":"number","v":"1"}',
  '{"$":"number","v":"nan"}',
  '{"$":"number","v":["NaN"]}',
  '{"$":"bigint"}',
  '{"$":"bigint","v":1}',
  '{"$":"bigint","v":""}',
  '{"$":"bigint","v":"-0"}',
  '{"$":"bigint","v":"01"}',
  '{"$":"bigint","v":"0x1"}',
  '{"$":"bigint","v":"1n"}',
  '{"$":"bigint","v":" 1"}',
  '{"$":"bigint","v":"1\\n"}',
  '{"$":"string"}',
  '{"$":"string","v":"%"}',
  '{"$":"string","v":"%0041"}',
  '{"$":"string","v":"%d800"}',
  '{"$":"string","v":"%E000"}',
  '{"$":"Boxed"}',
  '{"$":"Boxed","v":null}',
  '{"$":"Boxed","v":{}}',
  '{"$":"Boxed","v":[]}',
  '{"$":"Boxed","v":{"$":"undefined"}}',
  '{"$":"Boxed","v":{"$":"Date","v":null}}',
  '{"$":"Boxed","v":{"$":"Boxed","v":1}}',
  '{"$":"Date"}',
  '{"$":"Date","v":0}',
  '{"$":"Date","v":"2024"}',
  '{"$":"Date","v":"2024-02-31T00:00:00.000Z"}',
  '{"$":"Date","v":"2023-02-29T00:00:00Z"}',
  '{"$":"Date","v":"2024-13-01T00:00:00Z"}',
  '{"$":"Date","v":"2024-01-01T25:00:00Z"}',
  '{"$":"Date","v":"2024-01-01T00:00:00"}',
  '{"$":"Date","v":"-000000-01-01T00:00:00Z"}',
  '{"$":"Date","v":"+275760-09-13T00:00:00.001Z"}',
  '{"$":"Date","v":"Sat, 31 Jan 2026 08:00:00 GMT"}',
  '{"$":"Date","v":["2024-01-01T00:00:00Z",1]}',
  '{"$":"RegExp","v":"a"}',
  '{"$":"RegExp","f":""}',
  '{"$":"RegExp","v":"(","f":""}',
  '{"$":"RegExp","v":"a","f":"gg"}',
  '{"$":"RegExp","v":"a","f":"x"}',
  '{"$":"RegExp","v":"a","f":null}',
  '{"$":"RegExp","v":{},"f":""}',
  '{"$":"Map"}',
  '{"$":"Map","v":{}}',
  '{"$":"Map","v":[1]}',
  '{"$":"Map","v":[[1]]}',
  '{"$":"Map","v":[[1,2,3]]}',
  '{"$":"Set"}',
  '{"$":"Set","v":"abc"}',
  '{"$":"Set","v":{"length":1}}',
  '{"$":"Object"}',
  '{"$":"Object","v":[["a"]]}',
  '{"$":"Object","v":[[1,2]]}',
  '{"$":"Object","v":[[{"$":"undefined"},2]]}',
  '{"$":"Array"}',
  '{"$":"Array","n":1}',
  '{"$":"Array","n":-1,"v":[]}',
  '{"$":"Array","n":1.5,"v":[]}',
  '{"$":"Array","n":"1","v":[]}',
  '{"$":"Array","n":1,"v":[[1,0]]}',
  '{"$":"Array","n":1,"v":[["0",0]]}',
  '{"$":"Array","n":1,"v":[[-1,0]]}',
  '{"$":"Array","n":1,"v":[0]}',
  '{"$":"Array","n":1,"v":[],"p":[["0",1]]}',
  '{"$":"Array","n":1,"v":[],"p":[["length",1]]}',
  '{"$":"Array","n":1,"v":[],"p":1}',
  '{"$":"Error"}',
  '{"$":"Error","name":"constructor"}',
  '{"$":"Error","name":"Foo"}',
  '{"$":"Error","name":"Error","message":1}',
  '{"$":"Error","name":"Error","errors":[]}',
  '{"$":"Error","name":"AggregateError","errors":{}}',
  '{"$":"Error","name":"Error","x":1}',
  '{"$":"DOMException","name":"a"}',
  '{"$":"DOMException","message":"a"}',
  '{"$":"DOMException","name":1,"message":"a"}',
  '{"$":"ArrayBuffer"}',
  '{"$":"ArrayBuffer","v":1}',
  '{"$":"ArrayBuffer","v":"A"}',
  '{"$":"ArrayBuffer","v":"AB=="}',
  '{"$":"ArrayBuffer","v":"AAAA","max":2}',
  '{"$":"ArrayBuffer","v":"AAAA","max":-1}',
  '{"$":"ArrayBuffer","v":"AAAA","max":"9"}',
  '{"$":"Uint8Array"}',
  '{"$":"Uint8Array","v":"AAAA","o":0}',
  '{"$":"Uint8Array","v":"AAAA","n":0}',
  '{"$":"Uint8Array","v":[]}',
  '{"$":"Uint8Array","v":{"$":"Uint8Array","v":"AAAA"},"o":0,"n":1}',
  '{"$":"Uint8Array","v":{"$":"ArrayBuffer","v":"AAAA"}}',
  '{"$":"Uint8Array","v":{"$":"ArrayBuffer","v":"AAAA"},"o":0,"n":4}',
  '{"$":"Uint8Array","v":{"$":"ArrayBuffer","v":"AAAA"},"o":-1,"n":1}',
  '{"$":"Uint16Array","v":"AAAA"}',
  '{"$":"Uint16Array","v":{"$":"ArrayBuffer","v":"AAAAAAAA"},"o":1,"n":1}',
  '{"$":"DataView","v":{"$":"ArrayBuffer","v":"AAAA"},"o":4,"n":0}',
  '{"$":"DataView","v":{"$":"Graph"},"o":0,"n":0}',
  '{"$":"Blob"}',
  '{"$":"Blob","type":1,"v":""}',
  '{"$":"Blob","type":"","v":"A"}',
  '{"$":"File","type":"","v":"","name":"a"}',
  '{"$":"File","type":"","v":"","name":"a","at":1.5}',
  '{"$":"File","type":"","v":"","at":1}',
  '{"$":"Graph"}',
  '{"$":"Graph","root":1}',
  '{"$":"Graph","root":1,"refs":{}}',
  '{"$":"Graph","refs":[]}',
  '{"$":"Graph","root":1,"refs":[],"x":1}',
  '[{"$":"Graph","root":1,"refs":[]}]',
  '{"$":"Graph","root":{"$":"Graph","root":1,"refs":[]},"refs":[]}',
  '{"$":"Ref","v":0}',
  '{"$":"Graph","root":{"$":"Ref","v":1},"refs":[{}]}',
  '{"$":"Graph","root":{"$":"Ref","v":-1},"refs":[{}]}',
  '{"$":"Graph","root":{"$":"Ref","v":"0"},"refs":[{}]}',
  '{"$":"Graph","root":{"$":"Ref"},"refs":[{}]}',
  '{"$":"Graph","root":{"$":"Ref","v":"length"},"refs":[{}]}',
  '{"$":"Graph","root":{"$":"Ref","v":0,"x":1},"refs":[{}]}',
  '{"$":"Graph","root":{"$":"Ref","v":0},"refs":[{"$":"Ref","v":0}]}',
  '{"$":"Graph","root":{"$":"Ref","v":0},"refs":[1]}',
  '{"$":"Graph","root":{"$":"Ref","v":0},"refs":[{"$":"Ref","v":1},{"$":"Ref","v":0}]}',
  '{"$":"Graph","root":{"$":"Ref","v":0},"refs":[{"$":"undefined"}]}',
  '{"$":"Graph","root":{"$":"Ref","v":0},"refs":[null]}',
  '{"$":"Graph","root":{"$":"Ref","v":0},"refs":[{"$":"Uint8Array","v":{"$":"Ref","v":0},"o":0,"n":0}]}',
  `{"$":"RegExp","v":"${"(".repeat(500_000)}","f":""}`,
];

/** JSON that is over a limit. */
export const EXCESSIVE: Record<string, () => string> = {
  "257 arrays": () => nest(257),
  "257 objects": () => '{"a":'.repeat(257) + "1" + "}".repeat(257),
  "257 maps": () => '{"$":"Map","v":[[1,'.repeat(257) + "1" + "]]}".repeat(257),
  "257 causes": () => '{"$":"Error","name":"Error","cause":'.repeat(257) + "1" + "}".repeat(257),
  "257 references": () => chain(257),
  "a million arrays": () => nest(1_000_000),
  "a million objects": () => '{"a":'.repeat(1_000_000) + "1" + "}".repeat(1_000_000),
  "a million references": () => chain(100_000),
  "too many digits": () => `{"$":"bigint","v":"${"9".repeat(16_385)}"}`,
  "a long array of holes": () => '{"$":"Array","n":1000001,"v":[]}',
  "an array of holes without end": () => '{"$":"Array","n":4294967295,"v":[]}',
  "too many bytes": () => JSON.stringify("x".repeat(16 * 1024 * 1024)),
  "a buffer that grows too far": () => '{"$":"ArrayBuffer","v":"","max":16777217}',
  "a crowd of buffers that grow": () =>
    JSON.stringify(Array.from({ length: 30_000 }, () => ({ $: "ArrayBuffer", v: "", max: 1 }))),
};

/** JSON that is read in little time and memory; with `scale` 1, of about as many bytes as the limit allows. */
export const BULKY: Record<string, (scale: number) => string> = {
  "256 arrays": () => nest(256),
  "256 references": () => chain(256),
  "a bomb of references": () => bomb(200),
  "arrays of a million holes": (scale) => `[${repeat('{"$":"Array","n":1000000,"v":[]}', 400_000 * scale)}]`,
  "a long array": (scale) => `[${repeat("0", 8_000_000 * scale)}]`,
  "many small objects": (scale) => `[${repeat("{}", 5_000_000 * scale)}]`,
  "views on one buffer": (scale) => {
    const views = repeat('{"$":"Uint8Array","v":{"$":"Ref","v":0},"o":0,"n":9}', 100_000 * scale);
    return `{"$":"Graph","root":[${views}],"refs":[{"$":"ArrayBuffer","v":"${"AAAA".repeat(1_000_000 * scale)}"}]}`;
  },
};

/** A list of `count` times `part`. */
function repeat(part: string, count: number): string {
  return `${part},`.repeat(count).slice(0, -1);
}

/** Which malformed texts raise anything but a FireflyFormatError on this runtime. */
export function checkMalformed(): string[] {
  return MALFORMED.flatMap((json) => check(json.slice(0, 100), () => decode(textOf(json)), FireflyFormatError));
}

/** Which excessive texts raise anything but a FireflyLimitError on this runtime. */
export function checkExcessive(): string[] {
  return Object.entries(EXCESSIVE).flatMap(([name, make]) =>
    check(name, () => decode(textOf(make())), FireflyLimitError)
  );
}

/** Which bulky texts raise anything on this runtime. */
export function checkBulky(): string[] {
  return Object.entries(BULKY).flatMap(([name, make]) => check(name, () => decode(textOf(make(1)))));
}

function check(name: string, act: () => unknown, expected?: new () => Error): string[] {
  try {
    act();
    return expected ? [`${name} is accepted`] : [];
  } catch (error) {
    return expected && error instanceof expected ? [] : [`${name} raises ${error}`];
  }
}

/** Which values of 1,000 levels, the most that an option allows, overflow the stack of this runtime. */
export function checkDepth(): string[] {
  const kinds: Record<string, (inner: unknown) => unknown> = {
    arrays: (inner) => [inner],
    objects: (inner) => ({ a: inner }),
    tagged: (inner) => ({ $: inner }),
    maps: (inner) => new Map([[inner, 1]]),
    sets: (inner) => new Set([inner]),
    sparse: (inner) => [, inner],
    errors: (inner) => new Error("", { cause: inner }),
    aggregates: (inner) => new AggregateError([inner]),
  };
  const limits = { maxDepth: 1_000 };
  return Object.entries(kinds).flatMap(([name, wrap]) => {
    let value: unknown = {};
    const levels = name === "aggregates" ? 499 : 999;
    for (let level = 0; level < levels; level++) value = wrap(value);
    const deeper = name === "aggregates" ? [[value]] : wrap(value);
    return [
      ...check(`1000 levels of ${name}`, () => decode(encodePlain(value, limits), limits)),
      ...check(`1001 levels of ${name}`, () => encodePlain(deeper, limits), FireflyLimitError),
    ];
  });
}
