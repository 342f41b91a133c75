import { closestString } from "@std/text/closest-string";

/**
 * The end of an error about a word that nobody knows: `, did you mean "retryDelay"?`, or nothing where no known
 * word is near.
 */
export function didYouMean(word: string, known: readonly string[]): string {
  if (known.length === 0) return "";
  const near = closestString(word, known);
  const shared = [...near.toLowerCase()].filter((letter) => word.toLowerCase().includes(letter)).length;
  return shared * 2 >= near.length ? `, did you mean "${near}"?` : "";
}

/**
 * Refuses options that do not exist, since a misspelt one would otherwise be silently without effect.
 *
 * @param action What cannot be done, for the error's text: `define task "add"`.
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
