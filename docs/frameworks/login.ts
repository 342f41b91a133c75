import { createHash, timingSafeEqual } from "node:crypto";
import process from "node:process";

/** Asks browsers for the password in DASHBOARD_PASSWORD. Without one, the dashboard stays closed. */
export function authorize(request: Request): { user: string } | Response | false {
  const password = process.env.DASHBOARD_PASSWORD;
  if (!password) return false;
  const [, credentials = ""] = /^Basic (.+)$/i.exec(request.headers.get("authorization") ?? "") ?? [];
  const [, user = "", given = ""] = /^(.*?):(.*)$/s.exec(atob(credentials)) ?? [];
  const digest = (text: string) => createHash("sha256").update(text).digest();
  if (user && timingSafeEqual(digest(given), digest(password))) return { user };
  return new Response("Log in", { status: 401, headers: { "www-authenticate": 'Basic realm="Firefly"' } });
}
