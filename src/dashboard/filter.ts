/** The keys of tokens, as the dashboard suggests them. */
export const TOKEN_KEYS = [
  "status",
  "queue",
  "name",
  "tag",
  "error",
  "id",
  "from",
  "to",
  "args",
  "consumer",
  "place",
  "waits",
] as const;

/** The key of a token that the dashboard knows. */
export type TokenKey = typeof TOKEN_KEYS[number];

/** A condition of a filter: `queue:mail,sms` holds for tasks of either queue, `-queue:mail` for those of all others. */
export interface Token {
  /** The key, of which the dashboard may know nothing; empty for a bare word. */
  readonly key: string;
  /** The values, one of which must hold. */
  readonly values: readonly string[];
  /** Whether none of the values may hold. */
  readonly not: boolean;
}

/** Keys whose value is one text, with the commas that it has. */
const WHOLE: readonly string[] = ["args"];

/**
 * Parses the text of a filter: tokens with spaces between them. A value in quotes may hold spaces and commas; `\"` and
 * `\\` stand for a quote and a backslash in it. It reads any text: what is no token is a bare word.
 */
export function parseFilter(text: string): Token[] {
  return splitTokens(text.replaceAll("\0", "")).map(parseToken); // no text of PostgreSQL holds NUL
}

function parseToken(text: string): Token {
  const [, minus, key, rest] = /^(-?)([a-z_]+):([^]*)$/.exec(text) ?? [];
  if (key === undefined || rest === "") return { key: "", values: [unquote(text)], not: false };
  const values = WHOLE.includes(key)
    ? [unquote(rest!)]
    : splitValues(rest!).map(unquote).filter((value) => value !== "");
  if (values.length === 0) return { key: "", values: [text], not: false };
  return { key, values, not: minus === "-" };
}

/** Splits a text at spaces that are neither quoted nor, in `args:`, within brackets. */
function splitTokens(text: string): string[] {
  const tokens: string[] = [];
  let token = "";
  let quoted = false;
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const character = text[at]!;
    if (quoted && character === "\\" && at + 1 < text.length) {
      token += character + text[++at]!;
      continue;
    }
    if (character === '"') quoted = !quoted;
    if (!quoted && /^-?args:/.test(token)) depth += "[{".includes(character) ? 1 : "]}".includes(character) ? -1 : 0;
    if (/\s/.test(character) && !quoted && depth <= 0) {
      if (token !== "") tokens.push(token);
      token = "";
      depth = 0;
    } else token += character;
  }
  return token === "" ? tokens : [...tokens, token];
}

/** Splits the values of a token at commas that are not quoted. */
function splitValues(text: string): string[] {
  return text.match(/(?:"(?:\\[^]|[^"\\])*"?|[^,])+/g) ?? [];
}

/** Removes the quotes around a value; a text that merely begins with a quote stays as it is. */
function unquote(text: string): string {
  const [, inner] = /^"((?:\\[^]|[^"\\])*)"$/.exec(text) ?? [];
  return inner === undefined ? text : inner.replace(/\\([^])/g, "$1");
}

/** Writes a token so that {@linkcode parseFilter} reads the same again. */
export function formatToken({ key, values, not }: Token): string {
  const prefix = key === "" ? "" : `${not ? "-" : ""}${key}:`;
  return prefix + values.map((value) => formatValue(key, value)).join(",");
}

function formatValue(key: string, value: string): string {
  return isReadAsIs(key, value) ? value : `"${value.replace(/["\\]/g, "\\$&")}"`;
}

/** Whether a value reads as the same value without quotes around it, whatever follows. */
function isReadAsIs(key: string, value: string): boolean {
  const [token, after, ...more] = parseFilter(`${key === "" ? "" : `${key}:`}${value} after`);
  return token?.key === key && token.values[0] === value && after?.values[0] === "after" && more.length === 0;
}

/** Writes a filter as text, as it stands in the URL. */
export function formatFilter(tokens: readonly Token[]): string {
  return tokens.map(formatToken).join(" ");
}

/** Makes the text of a filter from its conditions: `filterText({ status: "failed", name: "mail.send" })`. */
export function filterText(conditions: { readonly [key in TokenKey]?: string | readonly string[] }): string {
  const entries = Object.entries(conditions) as [TokenKey, string | readonly string[]][];
  return formatFilter(entries.map(([key, value]) => ({ key, values: [value].flat() as string[], not: false })));
}

/** Returns the tokens without those of these keys. */
export function withoutKeys(tokens: readonly Token[], ...keys: TokenKey[]): Token[] {
  return tokens.filter(({ key }) => !(keys as string[]).includes(key));
}

/** The words that consumers, definitions and settings know. */
export interface KnownWords {
  readonly names: readonly string[];
  readonly queues: readonly string[];
}

/**
 * Makes tokens of bare words, so that the URL says what they mean: a known name, queue or tag becomes that condition;
 * all others together are a text of the arguments. A token that stands there twice stays once.
 */
export function resolveWords(
  tokens: readonly Token[],
  { names, queues, tags }: KnownWords & { readonly tags: readonly string[] },
): Token[] {
  const other: string[] = [];
  const resolved = tokens.flatMap((token): Token[] => {
    if (token.key !== "") return [token];
    const word = token.values[0]!;
    const key = names.includes(word)
      ? "name"
      : queues.includes(word)
      ? "queue"
      : tags.includes(word)
      ? "tag"
      : undefined;
    if (key) return [{ key, values: [word], not: false }];
    other.push(word);
    return [];
  });
  if (other.length > 0) resolved.push({ key: "args", values: [other.join(" ")], not: false });
  const texts = resolved.map(formatToken);
  return resolved.filter((_, i) => texts.indexOf(texts[i]!) === i);
}
