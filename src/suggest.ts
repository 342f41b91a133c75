import { closestString } from "@std/text/closest-string";

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
