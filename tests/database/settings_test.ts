import { assert, assertEquals, assertRejects } from "@std/assert";
import { type ConnectionSettings, type PostgresOptions, resolveConnection } from "../../src/database/settings.ts";
import { Database } from "../../src/database/pools.ts";
import { testDatabase } from "../support/database.ts";

/** Resolves without the environment of the tests. */
function resolve(
  given?: string | PostgresOptions,
  environment: Record<string, string> = {},
): Promise<ConnectionSettings> {
  return resolveConnection(given, { environment: { HOME: "/nonexistent", USER: "me", ...environment } });
}

/** What of a target these tests compare. */
async function placeOf(given?: string | PostgresOptions, environment?: Record<string, string>): Promise<string> {
  const { target: { user, password, path, hosts, ports, database } } = await resolve(given, environment);
  const places = path ?? hosts.map((host, index) => `${host} ${ports[index]}`).join(", ");
  return `${user} "${password}" ${places} "${database}"`;
}

const places: [given: string, place: string][] = [
  ["postgres://u:p@host/db", 'u "p" host 5432 "db"'],
  ["postgresql://u:p@host:6543/db", 'u "p" host 6543 "db"'],
  ["postgres://u@host", 'u "" host 5432 "u"'],
  ["postgres://u@host/", 'u "" host 5432 "u"'],
  ["  postgres://u@host/db\n", 'u "" host 5432 "db"'],
  ["postgres://u@[::1]/db", 'u "" ::1 5432 "db"'],
  ["postgres://u@[fe80::1%25eth0]:5433/db", 'u "" fe80::1%eth0 5433 "db"'],
  ["postgres://u@one:1,[::2]:2,three/db", 'u "" one 1, ::2 2, three 5432 "db"'],
  ["postgres://u@one,two/db?port=7", 'u "" one 7, two 7 "db"'],
  ["postgres://u@%2Fvar%2Frun%2Fpostgresql/db", 'u "" /var/run/postgresql/.s.PGSQL.5432 "db"'],
  ["postgres://u@%2Fcloudsql%2Fproj%3Aregion%3Ainst/db", 'u "" /cloudsql/proj:region:inst/.s.PGSQL.5432 "db"'],
  ["postgres://u:p@/db?host=/cloudsql/proj:region:inst", 'u "p" /cloudsql/proj:region:inst/.s.PGSQL.5432 "db"'],
  ["postgres://u@ignored/db?host=/sock/&port=6", 'u "" /sock/.s.PGSQL.6 "db"'],
  ["postgres:///db?host=h&user=a%40b&password=p%26q&port=1", 'a@b "p&q" h 1 "db"'],
  ["postgres://host/?dbname=a+b%2Fc&user=me@tenant", 'me@tenant "" host 5432 "a+b/c"'],
  ["postgres://u@host/my%20app", 'u "" host 5432 "my app"'],
  ["postgres://u@host/K%C3%A4se%2F50%25", 'u "" host 5432 "Käse/50%"'],
  ["postgres://we%20ird%40user:p%40ss%3Aw%2Fo%3Fr%23d@host/db", 'we ird@user "p@ss:w/o?r#d" host 5432 "db"'],
  ["postgres://u:pa?ss@host/db", 'u "pa?ss" host 5432 "db"'],
  ["postgres://u:pa#ss@host/db", 'u "pa#ss" host 5432 "db"'],
  ["postgres://u:p:a:ss@host/db", 'u "p:a:ss" host 5432 "db"'],
  ["postgres://u:[se,cr et]\\@host/db", 'u "[se,cr et]\\" host 5432 "db"'],
  ["postgres://u@name/db?hostaddr=10.0.0.1", 'u "" 10.0.0.1 5432 "db"'],
  ["host=h port=6 user=u password='a b\\'c' dbname = db", 'u "a b\'c" h 6 "db"'],
  ["dbname=db host=/sock user=u", 'u "" /sock/.s.PGSQL.5432 "db"'],
];

for (const [given, place] of places) {
  Deno.test(`resolveConnection() reads ${JSON.stringify(given)} as libpq does`, async () => {
    assertEquals(await placeOf(given), place);
  });
}

Deno.test("resolveConnection() fills what a URL does not say from the PG variables", async () => {
  const environment = { PGHOST: "h", PGPORT: "6", PGUSER: "e", PGPASSWORD: "s", PGDATABASE: "d", PGAPPNAME: "app" };

  assertEquals(await placeOf("postgres://", environment), 'e "s" h 6 "d"');
  assertEquals(await placeOf({}, environment), 'e "s" h 6 "d"');
  assertEquals(await placeOf("postgres://u:p@host/db", environment), 'u "p" host 6 "db"');
  assertEquals(await placeOf({ host: "mine", username: "u" }, environment), 'u "s" mine 6 "d"');
  assertEquals((await resolve("postgres://u@h/d", environment)).target.settings.application_name, "app");
});

Deno.test("resolveConnection() ignores the PG variables for the embedded server", async () => {
  Deno.env.set("PGSSLMODE", "require");
  try {
    const { target } = await resolveConnection("postgres://u:p@127.0.0.1:1/db", { embedded: true });
    assertEquals(target.tls, false);
  } finally {
    Deno.env.delete("PGSSLMODE");
  }
});

Deno.test("resolveConnection() takes the options, connect_timeout and target_session_attrs of a URL and of the environment", async () => {
  const url = "postgres://u@h/d?options=-c%20geqo%3Doff&connect_timeout=1&target_session_attrs=standby&lock_timeout=5";
  const { target } = await resolve(url);
  const other = await resolve("postgres://u@one,two/d", { PGOPTIONS: "-c geqo=on", PGCONNECT_TIMEOUT: "30" });

  assertEquals(target.settings, { options: "-c geqo=off", lock_timeout: "5", application_name: "firefly" });
  assertEquals([target.connectTimeout, target.sessionAttributes], [2, "standby"]);
  assertEquals([other.target.settings.options, other.target.connectTimeout], ["-c geqo=on", 30]);
  assertEquals(other.target.sessionAttributes, "primary");
});

const labels: [url: string, label: string][] = [
  ["postgres://user:secret@db.example:6432/app?sslmode=require", "db.example:6432/app"],
  ["postgresql://db.example/app", "db.example:5432/app"],
  ["postgres://user:p%40ss%2Fword@db.example/app", "db.example:5432/app"],
  ["postgres://user:secret@one:5432,two:5433/app", "one:5432/app"],
  ["postgres://user:secret@[::1]:5433/app", "[::1]:5433/app"],
  ["postgres://user:secret@/app?host=/var/run/postgresql", "/var/run/postgresql:5432/app"],
  ["postgres://user:secret@name/app?hostaddr=10.0.0.1", "name:5432/app"],
  ["postgres://user:secret@host/a%0Ab%1B", "host:5432/a�b�"],
];

for (const [url, label] of labels) {
  Deno.test(`resolveConnection() shows ${url} as ${label}`, async () => {
    assertEquals((await resolve(url)).label, label);
  });
}

Deno.test("resolveConnection() shows options without their password", async () => {
  const { label } = await resolve({ host: "h", port: 1, database: "d", username: "u", password: "secret" });
  assertEquals(label, "h:1/d");
});

/** Passwords in which a character is not encoded; each part of them begins with "sec". */
const refused: [given: string, reason: string][] = [
  ["", "it is empty"],
  ["mysql://root:secret@host/db", "postgres://user@host:port/database"],
  ["host:secret/db", "postgres://user@host:port/database"],
  ["POSTGRES://u:secret@host/db", "postgres://user@host:port/database"],
  ["postgres://u:secret@ho st:x/db", "its port is no number"],
  ["postgres://u:secret@host:65536/db", "its port is no number"],
  ["postgres://u:secret@host:0/db", "its port is no number"],
  ["postgres://u:sec%ret@host/db", 'its password has a "%"'],
  ["postgres://u:secret%@host/db", 'its password has a "%"'],
  ["postgres://u:sec%ffret@host/db", "its password is not UTF-8"],
  ["postgres://u:sec%00ret@host/db", "NUL"],
  ["postgres://u:sec@sec/secret@host:1/db", 'more than one "@"'],
  ["postgres://u:sec@secret@host:1/db", 'more than one "@"'],
  ["postgres://u:12/secret@host:1/db", 'more than one "@"'],
  ["postgres://u:sec/secret@host:1/db", 'more than one "@"'],
  ["postgres://u:sec/secret", "its port is no number"],
  ["postgres://host?password=sec@secret", 'it has an "@" in a parameter'],
  ["postgres://host:5432?user=u&password=sec@secret", 'it has an "@" in a parameter'],
  ["postgres://u:12/sec?secret@host/db", 'a parameter has no "="'],
  ["postgres://u:12/sec?secret=secret@host/db", "a parameter is unknown"],
  ["postgres://u:s@[::1/secret", "its host cannot be told"],
  ["postgres://u:s@[::1]secret/db", "its host cannot be told"],
  ["postgres://u@h/db?sslmod=require", 'did you mean "sslmode"?'],
  ["postgres://u@h/db?SSLMODE=require", 'no parameter "SSLMODE"'],
  ["host=h password=my secret dbname=d", "single quotes"],
  ["host=h passwort=secret", "single quotes"],
  ["host=h password='secret", "single quotes"],
];

for (const [given, reason] of refused) {
  Deno.test(`resolveConnection() refuses ${JSON.stringify(given)} without showing a password`, async () => {
    const error = await assertRejects(() => resolve(given), TypeError, "Cannot use the database URL");
    assert(error.message.includes(reason), error.message);
    assert(!/sec/.test(error.message), error.message);
  });
}

const unsupported: [query: string, reason: string][] = [
  ["channel_binding=require&sslmode=disable", '"channel_binding" is require, which sslmode=disable excludes'],
  ["gssencmode=require", '"gssencmode" asks for something'],
  ["require_auth=scram-sha-256", '"require_auth" asks for something'],
  ["requirepeer=postgres", '"requirepeer" asks for something'],
  ["sslmode=require&sslcrl=/x.pem", '"sslcrl" asks for something'],
  ["sslcertmode=require", '"sslcertmode" asks for something'],
  ["sslidentity=client.p12", '"sslidentity" asks for something'],
  ["sslmode=verify", '"sslmode" must be one of disable, allow'],
  ["sslmode=verify-ca", "name the file of the authority"],
  ["sslrootcert=system&sslmode=require", "needs sslmode=verify-full"],
  ["sslrootcert=/nowhere.pem", 'the file of "sslrootcert" cannot be read (ENOENT): /nowhere.pem'],
  ["sslmode=verify-full&sslrootcert=/nowhere.pem", 'the file of "sslrootcert" cannot be read'],
  ["sslcert=/nowhere.pem&sslkey=/nowhere.key", 'the file of "sslcert" cannot be read'],
  ["sslmode=require&sslkey=/nowhere.key", '"sslkey" needs sslcert'],
  ["ssl_min_protocol_version=TLSv9&sslmode=require", '"ssl_min_protocol_version" must be one of'],
  ["sslnegotiation=direct&sslmode=prefer", '"sslnegotiation" needs sslmode=require'],
  ["target_session_attrs=best", '"target_session_attrs" must be one of'],
  ["connect_timeout=soon", '"connect_timeout" must be a number of seconds'],
  ["service=nowhere", 'no service file defines the service "nowhere"'],
  ["hostaddr=name", '"hostaddr" is not an address'],
  ["port=1,2", '"port" must have one port'],
  ["host=/a,/b", "a socket cannot be one of several hosts"],
  ["host=@abstract", "abstract sockets are not supported"],
];

for (const [query, reason] of unsupported) {
  Deno.test(`resolveConnection() refuses "${query}" in words`, async () => {
    const error = await assertRejects(
      () => resolve(`postgres://u:secret@host/db?${query}`),
      TypeError,
      "Cannot connect",
    );
    assert(error.message.includes(reason), error.message);
  });
}

Deno.test("resolveConnection() verifies the server where channel binding is required, which the driver does not have", async () => {
  for (const query of ["channel_binding=require", "sslmode=require&channel_binding=require"]) {
    const { target } = await resolve(`postgres://u@ep-1.example.com/db?${query}`);
    assertEquals(target.tls, (await resolve("postgres://u@ep-1.example.com/db?sslmode=verify-full")).target.tls, query);
  }
});

Deno.test("resolveConnection() names the variable that it refuses", async () => {
  const given = "postgres://u:secret@host/db";
  for (const name of ["PGSSLMODE", "PGCHANNELBINDING", "PGREQUIREAUTH", "PGGSSENCMODE", "PGTARGETSESSIONATTRS"]) {
    await assertRejects(() => resolve(given, { [name]: "no such value" }), TypeError, `as ${name} `);
  }
  await assertRejects(() => resolve({}, { PGHOST: "h", PGPORT: "x" }), TypeError, "its port is no number");
  await assertRejects(() => resolve({}, { PGSERVICE: "nowhere" }), TypeError, 'the service "nowhere"');
});

Deno.test("resolveConnection() makes a URL that a server accepts, from one with the parameters of a dozen other clients", async () => {
  await using db = await testDatabase({ migrated: false });
  const foreign = [
    "channel_binding=prefer",
    "pgbouncer=true",
    "connection_limit=5",
    "pool_timeout=10",
    "socket_timeout=10",
    "schema=public",
    "sslaccept=accept_invalid_certs",
    "sslcertmode=allow",
    "sslsni=1",
    "client_encoding=LATIN1",
    "prepare=true",
    "max=3",
    "sslnegotiation=postgres",
    "gssencmode=disable",
    "keepalives=1",
    "keepalives_interval=5",
    "tcp_user_timeout=1000",
    "load_balance_hosts=disable",
    "uselibpqcompat=true",
    "supa=base-pooler.x",
  ];
  const separator = db.url.includes("?") ? "&" : "?";
  const settings = await resolveConnection(`${db.url}${separator}${foreign.join("&")}&application_name=mine`);
  const database = new Database(settings, "firefly");

  const [row] = await database.sql`SELECT current_setting('application_name') AS name`;
  await database.end();

  assertEquals(row!.name, "mine");
});

Deno.test("resolveConnection() takes pgbouncer=true and prepare=false for a pooler", async () => {
  assertEquals((await resolve("postgres://u@h/d?pgbouncer=true")).pooled, true);
  assertEquals((await resolve("postgres://u@h/d?prepare=false")).pooled, true);
  assertEquals((await resolve("postgres://u@h/d?pgbouncer=false")).pooled, false);
  assertEquals((await resolve({ host: "h", prepare: false })).pooled, true);
});

Deno.test("resolveConnection() refuses options that are unknown or wrong, without the password", async () => {
  const wrong: [options: object, reason: string][] = [
    [{ hostname: "h", password: "secret" }, 'no option "hostname", did you mean "host"?'],
    [{ user: "u" }, 'no option "user", did you mean "username"?'],
    [{ port: 70_000 }, '"port" must be an integer from 1 to 65535: current value is 70000'],
    [{ port: "5432" }, '"port" must be an integer'],
    [{ max: 0 }, '"max" must be a positive integer'],
    [{ host: 1 }, '"host" must be a text'],
    [{ password: 12345 }, '"password" must be a text'],
    [{ ssl: "yes" }, '"ssl" must be one of disable, allow'],
  ];
  for (const [options, reason] of wrong) {
    const error = await assertRejects(() => resolve(options), Error, reason);
    assert(!/secret|12345/.test(error.message));
  }
});
