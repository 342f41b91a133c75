import { defineConfig } from "../../mod.ts";

/** A configuration in which notifications take a way of their own, which a fault can cut. */
export default defineConfig({
  database: Deno.env.get("FAULT_DATABASE_URL")!,
  listenDatabase: Deno.env.get("FAULT_LISTEN_URL")!,
});
