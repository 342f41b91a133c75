import { html, raw as trusted } from "hono/html";

/** Markup that may be sent as it is. */
export type Html = ReturnType<typeof trusted>;

/** What a template may hold: text is escaped, false and undefined are left out, a list is one part after another. */
export type Part = string | number | Html | false | null | undefined | readonly Part[];

/**
 * Makes markup. Every value is escaped, unless it is markup itself: names, arguments and errors are text, whatever they
 * hold. It is not called `html`, as `deno fmt` would then add white space, which shows between words.
 */
export function markup(strings: TemplateStringsArray, ...values: Part[]): Html {
  return html(strings, ...values) as Html;
}

/** Declares text of this package's own as markup: never data. */
export function raw(text: string): Html {
  return trusted(text);
}

/** Nothing. */
export const NOTHING: Html = raw("");

/** An attribute, after a space; `true` has no value. Undefined and false are left out: `<a${attr("rel", rel)}>`. */
export function attr(name: string, value: string | number | boolean | undefined): Html {
  if (value === undefined || value === false) return NOTHING;
  return value === true ? markup` ${name}` : markup` ${name}="${value}"`;
}

/** The attribute `class` with those names that there are. */
export function classes(...names: (string | undefined | false)[]): Html {
  return attr("class", names.filter(Boolean).join(" ") || undefined);
}

/** Joins parts with markup between them. */
export function join(parts: readonly Part[], separator: Part): Html {
  return markup`${parts.flatMap((part, index) => index === 0 ? [part] : [separator, part])}`;
}
