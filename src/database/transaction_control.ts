const SPACE = /^(?:\s+|--[^\n]*(?:\n|$)|;)/;
const CONTROL = /^(begin|start\s+transaction|commit|end|rollback|abort|prepare\s+transaction)\b/i;
const ROLLBACK_TO = /^rollback\s+(work\s+|transaction\s+)?to\b/i;

/** Returns the command if the statement begins or ends a transaction; `ROLLBACK TO` a savepoint does neither. */
export function transactionControlOf(text: string): string | undefined {
  let [before, statement] = ["", text];
  while (before !== statement) {
    before = statement;
    statement = withoutComment(statement.replace(SPACE, ""));
  }
  if (ROLLBACK_TO.test(statement)) return undefined;
  return CONTROL.exec(statement)?.[0].toUpperCase();
}

/** Returns the text after the comment at its start, if there is one. Comments nest in PostgreSQL. */
function withoutComment(text: string): string {
  if (!text.startsWith("/*")) return text;
  let depth = 0;
  for (const { 0: mark, index } of text.matchAll(/\/\*|\*\//g)) {
    depth += mark === "/*" ? 1 : -1;
    if (depth === 0) return text.slice(index + 2);
  }
  return "";
}

const READ_ONLY = /\bread\s+only\b|transaction_read_only/i;

/** Whether a statement may make its transaction one that cannot write. */
export function mayAskForReadOnly(text: string): boolean {
  return READ_ONLY.test(text);
}

const DEALLOCATE = /\b(deallocate|discard)\b/i;

/** Whether a statement may drop what was prepared on its session. */
export function mayDeallocate(text: string): boolean {
  return DEALLOCATE.test(text);
}
