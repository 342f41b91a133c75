import { Map } from "./built_ins.ts";
import type { Json, JsonObject } from "./format.ts";

/** The key of a node in the array or object that holds it. */
export type Key = string | number;

/**
 * The place of an object's node in the JSON: where the object was met first or, once it was met again, in the list of
 * referenced nodes.
 */
export class Place {
  readonly #refs: Json[];
  readonly #holder: JsonObject;
  readonly #key: Key;
  #node: Json = null;
  #ref: number | undefined;

  /** Starts at `holder[key]`. The node moves to `refs` when it is first referred to. */
  constructor(refs: Json[], holder: JsonObject, key: Key) {
    this.#refs = refs;
    this.#holder = holder;
    this.#key = key;
  }

  /** Puts `node` in this place. */
  put(node: Json): void {
    this.#node = node;
    if (this.#ref === undefined) this.#holder[this.#key] = node;
    else this.#refs[this.#ref] = node;
  }

  /** Makes a `Ref` to the node. The first call moves the node to `refs`. */
  refer(): JsonObject {
    if (this.#ref === undefined) {
      this.#ref = this.#refs.push(this.#node) - 1;
      this.#holder[this.#key] = { $: "Ref", v: this.#ref };
    }
    return { $: "Ref", v: this.#ref };
  }
}

/** The places of the nodes of all objects met so far, so that an object met again becomes a reference. */
export class References {
  /** The nodes of objects that were met more than once. */
  readonly refs: Json[] = [];
  readonly #places = new Map<object, Place>();

  /** Returns the place of `object`, if it was met before. */
  find(object: object): Place | undefined {
    return this.#places.get(object);
  }

  /** Records that `object` was met at `holder[key]`. */
  add(object: object, holder: JsonObject, key: Key): Place {
    const place = new Place(this.refs, holder, key);
    this.#places.set(object, place);
    return place;
  }
}
