import { causesOf, isError } from "../thrown.ts";

/** Replaces hidden values. */
export const REDACTED = "[redacted]";
/** Replaces values that throw when they are read. */
const UNREADABLE = "[cannot be read]";
/** The properties in which drivers, ORMs and query builders store the parameters of a failed statement. */
const PARAMETER_FIELDS = ["parameters", "params", "args", "bindings", "values"];
/** Shorter parameters are not searched for in texts, where they may as well be something else. */
const SHORTEST = 4;
/** How many causes of an error are searched for parameters. */
const MAX_CAUSES = 5;

/**
 * Finds the parameters of a failed statement in an error and its causes, the longest first, as they may appear in their
 * texts. Drivers store them beside the message, and some put them into it, as does the server, which quotes values that
 * it cannot read.
 */
export function findParameters(thrown: unknown): string[] {
  const found = new Set<string>();
  for (const error of causesOf(thrown, MAX_CAUSES)) {
    if (!isError(error)) break;
    for (const field of PARAMETER_FIELDS) {
      for (const parameter of readList(error, field)) {
        if (!["string", "number", "bigint"].includes(typeof parameter)) continue;
        if (String(parameter).length >= SHORTEST) found.add(String(parameter));
      }
    }
  }
  return [...found].sort((a, b) => b.length - a.length);
}

/** Reads a list, whose members may be lists; an empty one if it is none, or cannot be read. */
function readList(error: Error, field: string): unknown[] {
  try {
    const list: unknown = readPart(error, field);
    return Array.isArray(list) ? list.flat() : [];
  } catch {
    return []; // such as a revoked proxy
  }
}

/** Hides the parameters of a failed statement in a text. */
export function hideParametersInText(text: string, parameters: readonly string[]): string {
  return parameters.reduce((left, parameter) => left.replaceAll(parameter, REDACTED), text);
}

/** Hides the parameters of a failed statement in the property `key` of an error. */
export function hideParametersInField(part: unknown, key: string, parameters: readonly string[]): unknown {
  if (parameters.length === 0) return part;
  if (PARAMETER_FIELDS.includes(key) && Array.isArray(part)) return REDACTED;
  return typeof part === "string" ? hideParametersInText(part, parameters) : part;
}

/** Reads a property of an object, whose getter may throw. */
export function readPart(value: object, key: string | symbol): unknown {
  try {
    return value[key as keyof object];
  } catch {
    return UNREADABLE;
  }
}
