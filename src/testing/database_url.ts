import type { PostgresOptions } from "../database/settings.ts";

/** Where a database is: a connection string, or options in its place. */
export type Place = string | PostgresOptions;

/** The same place on the server with another database. */
export function withDatabase(place: Place, name: string): Place {
  if (typeof place === "object") return Object.keys(place).length > 0 ? { ...place, database: name } : `dbname=${name}`;
  const text = place.trim();
  const [, server, rest] = /^(postgres(?:ql)?:\/\/(?:[^@/]*@)?[^/?]*)(.*)$/s.exec(text) ?? [];
  if (server === undefined || rest === undefined) return `${text} dbname=${name}`;
  const query = rest.includes("?") ? rest.slice(rest.indexOf("?")) : "";
  return `${server}/${name}${query}${/[?&]dbname=/.test(query) ? `&dbname=${name}` : ""}`;
}

/** A connection string for other programs. It lacks a password that is fetched, and options of TLS that are an object. */
export function toConnectionString(place: Place): string {
  if (typeof place === "string") return place;
  const { host, port, database = "", username, password, ssl } = place;
  const mode = typeof ssl === "boolean" ? (ssl ? "verify-full" : "disable") : ssl;
  const fields = {
    host: host ?? "localhost",
    port,
    dbname: database,
    user: username,
    password: typeof password === "string" ? password : undefined,
    sslmode: typeof mode === "string" ? mode : undefined,
  };
  return Object.entries(fields).filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${quoteValue(String(value))}`).join(" ");
}

/** Quotes a value of a keyword/value string. */
function quoteValue(value: string): string {
  return /^[\w.:/-]+$/.test(value) ? value : `'${value.replace(/[\\']/g, "\\$&")}'`;
}
