/** What a sample belongs to: names of labels with their values. */
export type Labels = Readonly<Record<string, string>>;

/**
 * The media type of the text.
 *
 * @example
 * ```ts
 * import { CONTENT_TYPE } from "@firefly/tasks/metrics";
 * import { assertEquals } from "@std/assert";
 *
 * const response = new Response("firefly_database_up 1\n", { headers: { "content-type": CONTENT_TYPE } });
 *
 * assertEquals(response.headers.get("content-type")?.split(";")[0], "text/plain");
 * ```
 */
export const CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** A histogram as Prometheus has it. */
export interface HistogramSample {
  /** The upper bounds of the buckets in seconds, in ascending order. */
  readonly bounds: readonly number[];
  /** How many values do not exceed each bound. */
  readonly counts: readonly number[];
  /** The sum of all values. */
  readonly sum: number;
  /** How many values there are. */
  readonly count: number;
}

/** Metrics in the text format of Prometheus: https://prometheus.io/docs/instrumenting/exposition_formats/ */
export class MetricsText {
  readonly #lines: string[] = [];

  /** Begins a metric whose values go up and down. */
  gauge(name: string, help: string): void {
    this.#begin(name, "gauge", help);
  }

  /** Begins a metric whose values only grow. */
  counter(name: string, help: string): void {
    this.#begin(name, "counter", help);
  }

  /** Begins a histogram. */
  histogram(name: string, help: string): void {
    this.#begin(name, "histogram", help);
  }

  /** Adds a sample of the metric that began last. */
  add(name: string, value: number, labels: Labels = {}): void {
    const parts = Object.entries(labels).map(([label, text]) => `${label}="${escapeLabel(text)}"`);
    this.#lines.push(`${name}${parts.length > 0 ? `{${parts.join(",")}}` : ""} ${value}`);
  }

  /** Adds a sample of the histogram that began last. */
  addHistogram(name: string, { bounds, counts, sum, count }: HistogramSample, labels: Labels): void {
    bounds.forEach((bound, index) => this.add(`${name}_bucket`, counts[index]!, { ...labels, le: String(bound) }));
    this.add(`${name}_bucket`, count, { ...labels, le: "+Inf" });
    this.add(`${name}_sum`, sum, labels);
    this.add(`${name}_count`, count, labels);
  }

  /** The text. */
  toString(): string {
    return this.#lines.map((line) => `${line}\n`).join("");
  }

  #begin(name: string, type: string, help: string): void {
    this.#lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
  }
}

function escapeLabel(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
