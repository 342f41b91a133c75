/**
 * Metrics for Prometheus, for a server of your own. `consume --probe-port` answers `/metrics` without it.
 *
 * @module
 */
export { CONTENT_TYPE, type MetricsOptions, writeMetrics } from "./src/metrics/metrics.ts";
