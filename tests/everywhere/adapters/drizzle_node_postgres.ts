import { drizzle } from "drizzle-orm/node-postgres";
import { drizzleOn } from "./support/drizzle.ts";
import { checkLibrary, url } from "./support/suite.ts";

const db = drizzle(url);
await checkLibrary({
  packages: ["drizzle-orm", "pg"],
  example: "drizzle",
  ...drizzleOn(db),
  refusesEnded: false,
  close: () => db.$client.end(),
});
