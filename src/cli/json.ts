import { Projection } from "../wire/to_json.ts";
import { escapeJson } from "./escape.ts";

/** A value as one line of JSON, with what JSON cannot hold as {@linkcode Projection} has it. */
export async function toJson(value: unknown): Promise<string> {
  const projection = new Projection();
  const projected = projection.toJsonValue(value);
  await Promise.all(projection.reading);
  return escapeJson(JSON.stringify(projected));
}

/** As {@linkcode toJson}, without a Blob's bytes. */
export function toJsonSync(value: unknown): string {
  return escapeJson(JSON.stringify(new Projection().toJsonValue(value)));
}
