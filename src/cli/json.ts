import { Projection } from "../wire/to_json.ts";
import { escapeJson } from "./escape.ts";

/** Formats a value as one line of JSON. {@linkcode Projection} converts values that JSON cannot hold. */
export async function toJson(value: unknown): Promise<string> {
  const projection = new Projection();
  const projected = projection.toJsonValue(value);
  await Promise.all(projection.reading);
  return escapeJson(JSON.stringify(projected));
}

/** As {@linkcode toJson}, but without the bytes of Blobs. */
export function toJsonSync(value: unknown): string {
  return escapeJson(JSON.stringify(new Projection().toJsonValue(value)));
}
