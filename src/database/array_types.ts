import { formatTime, parseTime } from "./times.ts";

const number = Number;
const text = String;
const boolean = (element: string) => element === "t";
const date = parseTime;
const json = (element: string) => JSON.parse(element);

/** PostgreSQL's built-in array types: their OIDs, and how to read one of their elements. */
const ARRAY_TYPES: Record<number, (element: string) => unknown> = {
  199: json,
  1000: boolean,
  1003: text, // name
  1005: number, // smallint
  1007: number, // integer
  1009: text,
  1014: text, // char
  1015: text, // varchar
  1016: text, // bigint
  1021: number, // real
  1022: number, // double precision
  1028: number, // oid
  1041: text, // inet
  1115: date, // timestamp
  1182: date,
  1183: text, // time
  1185: date, // timestamptz
  1187: text, // interval
  1231: text, // numeric
  2951: text, // uuid
  3807: json, // jsonb
};

/** A type for the driver: how it is read and written. */
interface DriverType {
  to: number;
  from: number[];
  serialize(value: unknown): unknown;
  parse(text: string): unknown;
}

/**
 * The array types for the driver. Otherwise it would query the server for them on every new connection, and if the
 * connection is lost meanwhile, the rejection of that query is unhandled and ends the process.
 */
export const arrayTypes: Record<string, DriverType> = Object.fromEntries(
  Object.entries(ARRAY_TYPES).map(([type, parse]) => [`array_${type}`, {
    to: Number(type),
    from: [Number(type)],
    serialize: (value) => Array.isArray(value) ? formatArray(value, parse === json) : value,
    parse: (literal) => parseArray(literal, parse),
  }]),
);

const SPECIAL = /["\\]/;

/** Formats a list as an array literal: `{"a",null,{"b"}}`; with `asJson`, each element as JSON. */
export function formatArray(list: unknown[], asJson = false): string {
  const elements = list.map((element) => {
    if (element === null || element === undefined) return "null";
    if (typeof element === "number" && !asJson) return `${element}`;
    if (Array.isArray(element) && !asJson) return formatArray(element);
    const text = formatElement(element, asJson);
    return `"${SPECIAL.test(text) ? text.replace(/["\\]/g, "\\$&") : text}"`;
  });
  return `{${elements.join(",")}}`;
}

function formatElement(element: unknown, asJson: boolean): string {
  if (asJson) return JSON.stringify(element);
  return element instanceof Date ? formatTime(element) : String(element);
}

/** Reads an array literal as a list. */
export function parseArray(literal: string, parse: (element: string) => unknown): unknown[] {
  const token = /[{},]|"((?:[^"\\]|\\.)*)"|[^{},"]+/gs;
  token.lastIndex = literal.indexOf("{") + 1; // bounds such as [0:2]= may precede
  const outer: unknown[][] = [];
  let list: unknown[] = [];
  for (let match = token.exec(literal); match; match = token.exec(literal)) {
    const [word, quoted] = match;
    if (word === "{") {
      outer.push(list);
      list = [];
    } else if (word === "}") {
      const parent = outer.pop();
      if (!parent) break;
      parent.push(list);
      list = parent;
    } else if (word !== ",") {
      if (quoted !== undefined) list.push(parse(quoted.replace(/\\(.)/gs, "$1")));
      else list.push(word === "NULL" ? null : parse(word));
    }
  }
  return list;
}
