export function closestString(
  givenWord: string,
  possibleWords: ReadonlyArray<string>,
  options?: {
    caseSensitive?: boolean;
    compareFn?: (a: string, b: string) => number;
  },
): string;
