import { drizzle } from "drizzle-orm/postgres-js";
import { drizzleOn } from "./support/drizzle.ts";
import { checkLibrary, url } from "./support/suite.ts";

const db = drizzle(url);
await checkLibrary({
  packages: ["drizzle-orm", "postgres"],
  ...drizzleOn(db),
  refusesEnded: false,
  close: () => db.$client.end(),
});
