/**
 * Metrics for Prometheus, for a server of your own. `consume --probe-port` answers `/metrics` without it.
 *
 * @example Serve them beside a consumer
 * ```ts ignore
 * import { configure, consume } from "@firefly/tasks";
 * import { CONTENT_TYPE, writeMetrics } from "@firefly/tasks/metrics";
 * import "./tasks.ts";
 *
 * const firefly = configure({});
 * await using consumer = consume();
 * Deno.serve({ port: 9464 }, async () => {
 *   return new Response(await writeMetrics(firefly), { headers: { "content-type": CONTENT_TYPE } });
 * });
 * await consumer.finished;
 * ```
 *
 * @module
 */
export { CONTENT_TYPE, type MetricsOptions, writeMetrics } from "./src/metrics/metrics.ts";
