import type { ProxyConnection } from "../../support/tcp_proxy.ts";

/** Reads what clients send over PostgreSQL's protocol, to say at which statements something happened. */
export class StatementReader {
  /** The texts of the statements that each connection has prepared, by name. */
  readonly #prepared = new WeakMap<ProxyConnection, Map<string, string>>();

  /**
   * Names what a client has sent at once by the tables of its statements, and by the steps whose names are in it; ""
   * for what only connects.
   */
  read(sent: string, connection: ProxyConnection): string {
    const prepared = this.#prepared.get(connection) ?? new Map<string, string>();
    this.#prepared.set(connection, prepared);
    const found: string[] = [];
    for (let at = 0; at + 5 <= sent.length && sent[at] !== "\0";) {
      const end = at + 1 + lengthAt(sent, at + 1);
      const body = sent.slice(at + 5, end);
      const [first = "", second = ""] = body.split("\0", 2);
      if (sent[at] === "P") prepared.set(first, second);
      if (sent[at] === "B") found.push(describe(prepared.get(second) ?? "", body));
      if (sent[at] === "Q") found.push(describeText(first, prepared));
      at = end;
    }
    const [only] = [...sent.matchAll(/^P[^]{4}(\w*)\0/g)].map(([, name]) => prepared.get(name!));
    if (found.length === 0 && only !== undefined) found.push(`Parse ${describe(only, "")}`);
    return found.join("; ");
  }
}

function lengthAt(text: string, at: number): number {
  return [0, 1, 2, 3].reduce((length, i) => length * 256 + text.charCodeAt(at + i), 0);
}

/** A text may prepare a statement and execute it: the store does that where a statement goes out with COMMIT. */
function describeText(text: string, prepared: Map<string, string>): string {
  const [, name, body] = /\bPREPARE (\w+)[^]*? AS\b([^]*?)(?=;\s*EXECUTE|$)/.exec(text) ?? [];
  if (name !== undefined) prepared.set(name, body!);
  const executed = /\bEXECUTE (\w+)/.exec(text)?.[1];
  return executed === undefined ? describe(text, text) : describe(prepared.get(executed) ?? "", text);
}

/** Such as `step_ledger: s4`. */
function describe(statement: string, parameters: string): string {
  const control = /^\s*(BEGIN|COMMIT|ROLLBACK|LISTEN|UNLISTEN|SET|SHOW)\b/i.exec(statement)?.[1]?.toUpperCase();
  const tables = statement.matchAll(/\b(?:INTO|UPDATE|FROM|JOIN|SELECT) (?:"?firefly"?\."?(\w+)|(step_ledger))/g);
  const named = [...new Set([...tables].map(([, own, ledger]) => own ?? ledger))];
  const steps = new Set([...parameters.matchAll(/(?:"name":"|[^\w"])(s\d+|end)\b/g)].map(([, name]) => name));
  return `${control ?? named.join(" ")}${steps.size > 0 ? `: ${[...steps].join(" ")}` : ""}`;
}
