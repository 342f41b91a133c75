import { FireflyError } from "../errors.ts";
import { identityOf } from "./replay.ts";

/** A step as the handler names it. */
export interface NamedStep {
  readonly name: string;
  readonly key?: string;
  readonly aliases?: readonly string[];
  /** Whether one may begin while another one of the same name and key is under way: they can be interchanged. */
  readonly isRepeatable?: boolean;
  /** Keys that it may have been stored under before. */
  readonly formerKeys?: readonly string[];
  /** What tells it apart from another one of its name, if a key cannot. */
  readonly remedy?: string;
}

/** The names of an attempt's steps: numbers those that are used again, and refuses those that cannot be told apart. */
export class StepNames {
  readonly #underWay = new Set<string>();
  readonly #counts = new Map<string, number>();
  readonly #taken = new Set<string>();
  readonly #aliases = new Map<string, string>();
  readonly #names = new Set<string>();

  /**
   * Takes the name for a step that is under way until it is released. Returns the key under which the step is stored.
   *
   * @throws {FireflyError} If a step of the same name and key is under way, or the name is an alias of another step.
   */
  take({ name, key = "", aliases = [], isRepeatable = false, remedy }: NamedStep): string {
    const identity = identityOf(name, key);
    if (!isRepeatable) {
      if (this.#underWay.has(identity)) {
        const keyed = key === "" ? "give each a key" : `give each another key than "${key}"`;
        throw new FireflyError(`Cannot begin step "${name}" as one of this name is under way: ${remedy ?? keyed}`);
      }
      this.#checkAliases(name, aliases);
    }
    let own: string;
    do {
      const count = (this.#counts.get(identity) ?? 0) + 1;
      this.#counts.set(identity, count);
      own = count === 1 ? key : key === "" ? `${count}` : `${key}#${count}`;
    } while (this.#taken.has(identityOf(name, own)));
    this.#taken.add(identityOf(name, own));
    this.#underWay.add(identity);
    return own;
  }

  /** Releases the name of a step that is not under way any more. */
  release({ name, key = "" }: NamedStep): void {
    this.#underWay.delete(identityOf(name, key));
  }

  #checkAliases(name: string, aliases: readonly string[]): void {
    const other = this.#aliases.get(name);
    if (other !== undefined) {
      throw new FireflyError(`Cannot begin step "${name}" as the name is an alias of step "${other}": use another one`);
    }
    for (const alias of aliases) {
      if (alias === name) continue;
      if (this.#names.has(alias)) {
        throw new FireflyError(`Cannot begin step "${name}" as its alias "${alias}" is the name of another step`);
      }
      this.#aliases.set(alias, name);
    }
    this.#names.add(name);
  }
}
