import type { Results } from "./results.ts";
export function plotResults(_r: Results): string {
  return "";
}
