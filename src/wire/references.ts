import type { Json, JsonObject } from "./format.ts";

/** The key of a node in its holder. */
export type Key = string | number;

/** Where the node of an object stands. */
export class Place {
  readonly #refs: Json[];
  readonly #holder: JsonObject;
  readonly #key: Key;
  #node: Json = null;
  #ref: number | undefined;

  /** A place at `holder[key]`, from where the node may move to `refs`. */
  constructor(refs: Json[], holder: JsonObject, key: Key) {
    this.#refs = refs;
    this.#holder = holder;
    this.#key = key;
  }

  /** Puts `node` here. */
  put(node: Json): void {
    this.#node = node;
    if (this.#ref === undefined) this.#holder[this.#key] = node;
    else this.#refs[this.#ref] = node;
  }

  /** Makes a `Ref` to the node, which moves to `refs` the first time. */
  refer(): JsonObject {
    if (this.#ref === undefined) {
      this.#ref = this.#refs.push(this.#node) - 1;
      this.#holder[this.#key] = { $: "Ref", v: this.#ref };
    }
    return { $: "Ref", v: this.#ref };
  }
}

/** Remembers where the node of each object stands. */
export class References {
  /** The nodes of the objects that were met twice. */
  readonly refs: Json[] = [];
  readonly #places = new Map<object, Place>();

  /** The place of `object`, if it was met before. */
  find(object: object): Place | undefined {
    return this.#places.get(object);
  }

  /** Gives `object` the place `holder[key]`. */
  add(object: object, holder: JsonObject, key: Key): Place {
    const place = new Place(this.refs, holder, key);
    this.#places.set(object, place);
    return place;
  }
}
