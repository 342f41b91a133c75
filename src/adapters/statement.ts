/** A statement that is cut at its parameters: a value comes after each text but the last. */
export interface CutStatement {
  readonly texts: readonly string[];
  readonly values: readonly unknown[];
}

/**
 * Cuts a statement at its parameters `$1`, `$2`, …, for libraries that write them in another way. There is no other `$`
 * in the statements that schedule: the name of a schema must not have one.
 */
export function cutAtParameters(text: string, params: readonly unknown[]): CutStatement {
  const texts: string[] = [];
  const values: unknown[] = [];
  let start = 0;
  for (const { 0: token, 1: number, index } of text.matchAll(/\$(\d+)/g)) {
    texts.push(text.slice(start, index));
    values.push(params[Number(number) - 1]);
    start = index + token.length;
  }
  texts.push(text.slice(start));
  return { texts, values };
}

/** Writes the parameters of a statement as `?`. A `?` in its text, as in the name of a schema, becomes `\?`. */
export function withQuestionMarks(text: string, params: readonly unknown[]): { text: string; values: unknown[] } {
  const { texts, values } = cutAtParameters(text, params);
  return { text: texts.map((part) => part.replaceAll("?", "\\?")).join("?"), values: [...values] };
}
