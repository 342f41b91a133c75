import { closestString } from "@std/text/closest-string";
import { levenshteinDistance } from "@std/text/levenshtein-distance";

/**
 * Returns the end of an error message about an unknown word: `, did you mean "retryDelay"?`, or "" if no known word is
 * similar.
 */
export function didYouMean(word: string, known: readonly string[]): string {
  if (known.length === 0) return "";
  const near = closestString(word, known);
  const shared = [...near.toLowerCase()].filter((letter) => word.toLowerCase().includes(letter)).length;
  return shared * 2 >= near.length ? `, did you mean "${near}"?` : "";
}

/**
 * Rejects options that do not exist: a misspelled option would otherwise have no effect, silently.
 *
 * @param action What fails, for the error message, as in `Cannot ‹action›`: `define task "add"`.
 * @throws {TypeError} If `options` has a key that is not in `known`.
 */
export function refuseUnknownKeys(options: object, known: readonly string[], action: string): void {
  for (const key of Object.keys(options)) {
    if (known.includes(key)) continue;
    throw new TypeError(
      `Cannot ${action} as there is no option "${key}"${didYouMean(key, known) || `: known are ${known.join(", ")}`}`,
    );
  }
}

/** The most letters in which a name may differ from the one that was meant. */
const MAX_TYPOS = 2;

/**
 * Returns the known name that `name` is a misspelling of, if there is one: case and underscores do not count, and few
 * letters may differ.
 */
export function closestName(name: string, known: readonly string[]): string | undefined {
  const plain = (text: string) => text.toUpperCase().replaceAll(/[_-]/g, "");
  const word = plain(name);
  return known.find((each) => {
    const meant = plain(each);
    return levenshteinDistance(word, meant) <= Math.min(MAX_TYPOS, Math.floor(meant.length / 5));
  });
}
