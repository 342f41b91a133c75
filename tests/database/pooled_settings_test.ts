import { isLeftOut } from "../faults/fault.ts";
import { startPgBouncer } from "../faults/pgbouncer.ts";
import { testDatabase } from "../support/database.ts";
import { live } from "../support/hostile_life.ts";
import { HOSTILE, setForDatabase } from "../support/session_settings.ts";

const ignore = await isLeftOut("Tests of poolers", { needs: ["pgbouncer"] });

/** Those that change what a statement reads or does; idle sessions of the server are the concern of the pooler. */
const MEANING = /DateStyle|isolation|conforming|extra_float|array_nulls|quote_all|lock_timeout|exit_on_error/;

for (
  const { idle_session_timeout: _, ...settings } of HOSTILE.filter((settings) =>
    Object.keys(settings).some((name) => MEANING.test(name))
  )
) {
  Deno.test({
    name: `a task lives as usual behind a transaction pooler with ${JSON.stringify(settings)}`,
    ignore,
    async fn() {
      await using db = await testDatabase({ migrated: false });
      await setForDatabase(db, settings);
      await using bouncer = await startPgBouncer(db.url, "transaction");

      await live(db, bouncer.through(db.url));
    },
  });
}
