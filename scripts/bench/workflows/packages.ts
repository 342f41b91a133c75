import { PACKAGES, type Packages } from "../packages.ts";

/** What is installed for the benchmark of workflows alone, and the Node that it runs on. */
export const WORKFLOW_PACKAGES: Packages = {
  "@dbos-inc/dbos-sdk": "5.3.0",
  "@dbos-inc/postgres-datasource": "4.24.16",
  "absurd-sdk": "0.5.0",
  "bullmq": PACKAGES.bullmq!,
  "ioredis": PACKAGES.ioredis!,
  "node": PACKAGES.node!,
  "pg": PACKAGES.pg!,
  "pg-boss": PACKAGES["pg-boss"]!,
  "postgres": "3.4.9",
};
