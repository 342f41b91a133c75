import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { chmod, chown, copyFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import postgres from "postgres";
import { serverUser } from "../../src/embedded/run_program.ts";
import { Database } from "../../src/database/pools.ts";
import { type PostgresOptions, resolveConnection } from "../../src/database/settings.ts";
import { type Server, startServer } from "../faults/servers.ts";

/** What needs a server that has TLS, sockets and passwords, and files that libpq reads. */

const CERTIFICATES = fileURLToPath(new URL("../support/certificates/", import.meta.url));
const HBA = `
local all all trust
hostssl certonly plain 127.0.0.1/32 cert
hostssl tlsonly all 127.0.0.1/32 trust
hostnossl tlsonly all 127.0.0.1/32 reject
host secret all 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
`;
/** Each character that means something in a URL or in a password file. */
const PASSWORD = `p@ss:w/o?r#d%&,=+ "x\\`;

interface Fixture extends AsyncDisposable {
  readonly server: Server;
  /** The directory of its socket, whose name has colons. */
  readonly sockets: string;
  /** A home directory for the files of a user. */
  readonly home: string;
  /** `127.0.0.1:port`. */
  readonly address: string;
}

async function makeFixture(): Promise<Fixture> {
  const home = await Deno.realPath(await Deno.makeTempDir({ prefix: "ff_" }));
  await chmod(home, 0o755);
  const sockets = join(home, "proj:region:inst");
  await mkdir(sockets);
  const user = serverUser();
  if (user) await chown(sockets, user.uid, user.gid);
  const server = await startServer({ unix_socket_directories: sockets, password_encryption: "scram-sha-256" });
  for (const name of ["ca.crt", "server.crt", "server.key"]) {
    const path = join(server.dataDirectory, name);
    await copyFile(join(CERTIFICATES, name), path);
    await chmod(path, 0o600);
    if (user) await chown(path, user.uid, user.gid);
  }
  await copyFile(join(CERTIFICATES, "client.key"), join(home, "client.key"));
  await chmod(join(home, "client.key"), 0o600);
  const sql = postgres(server.url, { max: 1, onnotice() {} });
  for (const name of ["tlsonly", "certonly", "secret", "Käse/50%"]) await sql.unsafe(`CREATE DATABASE "${name}"`);
  await sql.unsafe(`CREATE ROLE plain LOGIN PASSWORD 'plain'`);
  await sql.unsafe(`CREATE ROLE "we:ird@user" LOGIN PASSWORD '${PASSWORD}'`);
  for (const [name, value] of [["ssl", "on"], ["ssl_ca_file", "ca.crt"]]) {
    await sql.unsafe(`ALTER SYSTEM SET ${name} = '${value}'`);
  }
  await writeFile(join(server.dataDirectory, "pg_hba.conf"), HBA);
  await sql`SELECT pg_reload_conf()`;
  await sql.end();
  await server.stop("fast");
  await server.start();
  return {
    server,
    sockets,
    home,
    address: `127.0.0.1:${server.port}`,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await Deno.remove(home, { recursive: true });
    },
  };
}

/** Connects, and tells where: the database, the user, and whether it is a socket, plain or TLS. */
async function reach(given: string | PostgresOptions, environment: Record<string, string> = {}): Promise<string> {
  const warnings: string[] = [];
  const settings = await resolveConnection(given, {
    environment: { HOME: "/nonexistent", USER: "me", ...environment },
    warn: (text) => warnings.push(text),
  });
  const database = new Database(settings, "firefly");
  try {
    const [row] = await database.sql`
      SELECT current_database() AS db, current_user AS login, inet_server_addr() IS NULL AS socket,
        (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()) AS tls`;
    return [row!.db, row!.login, row!.socket ? "socket" : row!.tls ? "TLS" : "plain", ...warnings].join(" ");
  } catch (error) {
    return [(error as Error).message, ...warnings].join("; ");
  } finally {
    await database.end();
  }
}

Deno.test("libpq: what a connection string, variables and files say", async (t) => {
  await using fixture = await makeFixture();
  const { server: { port }, sockets, home, address } = fixture;
  const ca = `${CERTIFICATES}ca.crt`;
  const client = `sslcert=${CERTIFICATES}client.crt&sslkey=${home}/client.key`;
  const encoded = encodeURIComponent(sockets);
  const login = `we%3Aird%40user:${encodeURIComponent(PASSWORD)}`;

  const reached: [given: string, environment: Record<string, string>, where: string][] = [
    // Places
    [`postgres://postgres@${address}/postgres`, {}, "postgres postgres plain"],
    [`postgres://postgres@${encoded}:${port}/postgres`, {}, "postgres postgres socket"],
    [`postgres:///postgres?host=${sockets}&port=${port}&user=postgres`, {}, "postgres postgres socket"],
    [`postgres://postgres@localhost:1,${address}/postgres`, {}, "postgres postgres plain"],
    [`postgres://postgres@${address}/K%C3%A4se%2F50%25`, {}, "Käse/50% postgres plain"],
    [`postgres://${login}@${address}/secret`, {}, "secret we:ird@user plain"],
    [`host=127.0.0.1 port=${port} user=postgres dbname='Käse/50%'`, {}, "Käse/50% postgres plain"],
    ["postgres://", { PGHOST: sockets, PGPORT: `${port}`, PGUSER: "postgres" }, "postgres postgres socket"],
    ["postgres://", {
      PGHOSTADDR: "127.0.0.1",
      PGPORT: `${port}`,
      PGUSER: "plain",
      PGPASSWORD: "plain",
      PGDATABASE: "secret",
    }, "secret plain plain"],
    // TLS
    [`postgres://postgres@${address}/tlsonly?sslmode=require`, {}, "tlsonly postgres TLS"],
    [`postgres://postgres@${address}/tlsonly?sslmode=prefer`, {}, "tlsonly postgres TLS"],
    [`postgres://postgres@${address}/tlsonly?sslmode=allow`, {}, "tlsonly postgres TLS"],
    [`postgres://postgres@${address}/tlsonly?ssl=true`, {}, "tlsonly postgres TLS"],
    [`postgres://postgres@${address}/tlsonly?requiressl=1`, {}, "tlsonly postgres TLS"],
    [`postgres://postgres@${address}/tlsonly?sslmode=no-verify`, {}, "tlsonly postgres TLS"],
    [`postgres://postgres@${address}/postgres`, { PGSSLMODE: "require" }, "postgres postgres TLS"],
    [`postgres://postgres@${address}/postgres?sslmode=disable`, { PGSSLMODE: "require" }, "postgres postgres plain"],
    [`postgres://postgres@${encoded}:${port}/postgres`, { PGSSLMODE: "require" }, "postgres postgres socket"],
    [`postgres://postgres@${address}/postgres?sslrootcert=${ca}`, {}, "postgres postgres TLS"],
    [`postgres://postgres@${address}/postgres?sslmode=verify-ca&sslrootcert=${ca}`, {}, "postgres postgres TLS"],
    [
      `postgres://postgres@localhost:${port}/postgres?sslmode=verify-full`,
      { PGSSLROOTCERT: ca },
      "postgres postgres TLS",
    ],
    [
      `postgres://postgres@db.internal:${port}/postgres?sslmode=verify-full&hostaddr=127.0.0.1&sslrootcert=${ca}`,
      {},
      "postgres postgres TLS",
    ],
    [`postgres://plain@${address}/certonly?sslmode=require&${client}`, {}, "certonly plain TLS"],
    [`postgres://plain@${address}/certonly?${client}`, {}, "certonly plain TLS"],
    [
      `postgres://postgres@${address}/postgres?sslmode=require&ssl_min_protocol_version=TLSv1.3`,
      {},
      "postgres postgres TLS",
    ],
  ];
  for (const [given, environment, where] of reached) {
    await t.step(`reaches ${given} ${JSON.stringify(environment)}`, async () => {
      assertEquals(await reach(given, environment), where);
    });
  }

  const unreached: [given: string, environment: Record<string, string>, reason: string][] = [
    [`postgres://postgres@${address}/tlsonly?sslmode=disable`, {}, "no encryption"],
    [`postgres://postgres@${address}/postgres?sslmode=verify-full`, {}, "self-signed certificate"],
    [`postgres://postgres@${address}/postgres?sslmode=require&sslrootcert=${CERTIFICATES}other.crt`, {}, "certificate"],
    [`postgres://postgres@${address}/postgres?sslaccept=strict`, {}, "self-signed certificate"],
    // The driver would take the certificate of "localhost" for any address.
    [`postgres://postgres@${address}/postgres?sslmode=verify-full&sslrootcert=${ca}`, {}, "does not match certificate"],
    [
      `postgres://postgres@x.internal:${port}/postgres?sslmode=verify-full&hostaddr=127.0.0.1&sslrootcert=${ca}`,
      {},
      "does not match certificate",
    ],
    [`postgres://plain@${address}/certonly?sslmode=require`, {}, "valid client certificate"],
    [
      `postgres://plain@${address}/certonly?sslmode=require&${client}&sslcertmode=disable`,
      {},
      "valid client certificate",
    ],
  ];
  for (const [given, environment, reason] of unreached) {
    await t.step(`does not reach ${given} ${JSON.stringify(environment)}`, async () => {
      assertStringIncludes(await reach(given, environment), reason);
    });
  }

  await t.step("options take TLS as well", async () => {
    const options = { host: "127.0.0.1", port, database: "tlsonly", username: "postgres" };
    assertEquals(await reach({ ...options, ssl: "require" }), "tlsonly postgres TLS");
    assertEquals(await reach(options, { PGSSLMODE: "require" }), "tlsonly postgres TLS");
    assertStringIncludes(await reach({ ...options, ssl: true }), "self-signed certificate");
    const trusted = { ca: await Deno.readTextFile(ca) };
    assertEquals(await reach({ ...options, host: "localhost", ssl: trusted }), "tlsonly postgres TLS");
    assertStringIncludes(await reach({ ...options, ssl: trusted }), "does not match certificate");
    assertEquals(await reach({ ...options, host: sockets, ssl: true }), "tlsonly postgres socket");
  });

  await t.step("a key that others may read is refused", async () => {
    await chmod(join(home, "client.key"), 0o644);
    const given = `postgres://plain@${address}/certonly?${client}`;
    await assertRejects(() => reach(given), TypeError, "others may read the key");
    await chmod(join(home, "client.key"), 0o600);
  });

  await t.step("files of the home directory are read", async () => {
    const directory = join(home, ".postgresql");
    await mkdir(directory);
    await copyFile(ca, join(directory, "root.crt"));
    await copyFile(`${CERTIFICATES}client.crt`, join(directory, "postgresql.crt"));
    await copyFile(join(home, "client.key"), join(directory, "postgresql.key"));
    await chmod(join(directory, "postgresql.key"), 0o600);
    const given = `postgres://plain@localhost:${port}/certonly?sslmode=verify-full`;
    assertEquals(await reach(given, { HOME: home }), "certonly plain TLS");
    await Deno.remove(directory, { recursive: true });
  });

  const escaped = PASSWORD.replace(/[:\\]/g, "\\$&");
  await writeFile(
    join(home, ".pgpass"),
    `# comment\n127.0.0.1:1:*:*:no\n127.0.0.1:${port}:secret:plain:plain\r\n*:*:*:we\\:ird@user:${escaped}\n`,
    { mode: 0o600 },
  );

  await t.step("the password file is read as libpq reads it", async () => {
    const files = { HOME: home };
    assertEquals(await reach(`postgres://plain@${address}/secret`, files), "secret plain plain");
    assertEquals(await reach(`postgres://we%3Aird%40user@${address}/secret`, files), "secret we:ird@user plain");
    assertEquals(
      await reach({ host: "127.0.0.1", port, database: "secret", username: "plain" }, files),
      "secret plain plain",
    );
    assertEquals(await reach(`postgres://plain@${address}/secret?passfile=${home}/.pgpass`), "secret plain plain");
    assertEquals(
      await reach(`postgres://plain@${address}/secret`, { PGPASSFILE: `${home}/.pgpass` }),
      "secret plain plain",
    );
    assertEquals(await reach(`postgres://plain:plain@${address}/secret`, files), "secret plain plain");
    assertStringIncludes(
      await reach(`postgres://plain:wrong@${address}/secret`, files),
      "password authentication failed",
    );
  });

  await t.step("a password file that others may read is ignored, with a warning", async () => {
    await chmod(join(home, ".pgpass"), 0o644);
    const said = await reach(`postgres://plain@${address}/secret`, { HOME: home });
    assertStringIncludes(said, "password authentication failed");
    assertStringIncludes(said, "is ignored as others may read it");
    await chmod(join(home, ".pgpass"), 0o600);
  });

  await writeFile(
    join(home, ".pg_service.conf"),
    `# comment\n[other]\nhost=nowhere\n\n[mine]\nhost=127.0.0.1\n port=${port}\ndbname=tlsonly\nuser=postgres\nsslmode=require\n[next]\nhost=x\n`,
  );
  await writeFile(
    join(home, "pg_service.conf"),
    `[system]\nhost=127.0.0.1\nport=${port}\nuser=postgres\n[bad]\nhots=x\n`,
  );

  await t.step("services are read as libpq reads them", async () => {
    const files = { HOME: home, PGSYSCONFDIR: home };
    assertEquals(await reach({}, { ...files, PGSERVICE: "mine" }), "tlsonly postgres TLS");
    assertEquals(await reach("service=mine dbname=postgres", files), "postgres postgres TLS");
    assertEquals(
      await reach("postgres:///?service=mine", { ...files, PGUSER: "plain", PGHOST: "x" }),
      "tlsonly postgres TLS",
    );
    assertEquals(await reach({}, { ...files, PGSERVICE: "system", PGDATABASE: "postgres" }), "postgres postgres plain");
    assertEquals(
      await reach({}, { PGSERVICE: "mine", PGSERVICEFILE: `${home}/.pg_service.conf` }),
      "tlsonly postgres TLS",
    );
    await assertRejects(
      () => reach({}, { ...files, PGSERVICE: "none" }),
      TypeError,
      'no service file defines the service "none"',
    );
    await assertRejects(() => reach({}, { ...files, PGSERVICE: "bad" }), TypeError, "that is not keyword=value");
    await assertRejects(
      () => reach({}, { PGSERVICE: "x", PGSERVICEFILE: "/nowhere" }),
      TypeError,
      "/nowhere cannot be read",
    );
  });

  await t.step("the driver reads no variables of its own", async () => {
    const odd = {
      PGTARGETSESSIONATTRS: "any",
      PGDEBUG: "1",
      PGMAX: "x",
      PGUSERNAME: "nobody",
      PGSSL: "true",
      PGPREPARE: "x",
    };
    for (const [name, value] of Object.entries(odd)) Deno.env.set(name, value);
    try {
      assertEquals(await reach(`postgres://postgres@${address}/postgres`, odd), "postgres postgres plain");
      assert(Deno.env.get("PGTARGETSESSIONATTRS") === "any");
    } finally {
      for (const name of Object.keys(odd)) Deno.env.delete(name);
    }
  });
});
