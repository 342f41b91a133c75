import { hostname, userInfo } from "node:os";

/** Names the person or program that calls, as `user@host`; undefined where the runtime does not permit to know. */
export function callerName(): string | undefined {
  try {
    return `${userInfo().username}@${hostname()}`;
  } catch {
    return undefined;
  }
}
