import { levenshteinDistance } from "@std/text/levenshtein-distance";

/**
 * Returns the end of an error message about an unknown word: `, did you mean "retryDelay"?`, or "" if no known word is
 * similar.
 */
export function didYouMean(word: string, known: readonly string[]): string {
  const near = known.map((name) => ({ name, distance: distanceTo(name, word) }))
    .filter(({ name, distance }) => {
      const length = Math.max(bare(name).length, bare(word).length);
      return distance < length && distance <= Math.ceil(0.4 * length);
    })
    .sort((a, b) => a.distance - b.distance)[0];
  return near ? `, did you mean "${near.name}"?` : "";
}

/** Joins a statement, which may end with a question, and a sentence that goes on from it. */
export function asSentences(statement: string, next: string): string {
  if (next === "") return statement;
  return `${statement}${/[.?!]$/.test(statement) ? "" : "."} ${next}`;
}

/** The number of letters to change between two words. One that is a part of the other, as in `mail.send`, is near. */
function distanceTo(name: string, word: string): number {
  const [a, b] = [bare(name), bare(word)];
  if (b.length > 2 && a.split(/[^a-z0-9]+/).includes(b)) return 1;
  return levenshteinDistance(a, b);
}

/** A word without its hyphens in front, and in lower case. */
function bare(word: string): string {
  return word.toLowerCase().replace(/^-+/, "");
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
