/** Characters that take two columns. */
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;
/** Characters that take none. */
const COMBINING = /[\p{Mn}\p{Me}\p{Cc}\u200b-\u200d]/u;

/** As `unicodeWidth()` of @std/cli, for most characters: the package that the other modules re-export lacks its data. */
export function unicodeWidth(str: string): number {
  let width = 0;
  for (const sign of str) width += COMBINING.test(sign) ? 0 : WIDE.test(sign) ? 2 : 1;
  return width;
}
