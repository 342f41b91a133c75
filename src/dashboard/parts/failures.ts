import { codeOf } from "../../database/error_codes.ts";
import { DatabaseUnreachable, FireflyError, InstanceClosed, SchemaMismatch } from "../../errors.ts";
import type { PageContext } from "../context.ts";
import { type Html, markup } from "../html.ts";
import { tell } from "./panels.ts";

/** What to show of an error: its message only where it is known to hold no data. */
export interface Failure {
  readonly status: number;
  readonly title: string;
  readonly detail: string;
  /** Whether it concerns the whole page, as nothing else can be read either. */
  readonly isTotal: boolean;
}

const STATEMENT_TIMEOUT = "57014";
const INSUFFICIENT_PRIVILEGE = "42501";

/** Describes an error for people. */
export function describeFailure(error: unknown): Failure {
  const code = codeOf(error);
  if (error instanceof DatabaseUnreachable || error instanceof InstanceClosed) {
    return { status: 503, title: "The database does not answer", detail: error.message, isTotal: true };
  }
  if (error instanceof SchemaMismatch) {
    return {
      status: 503,
      title: "Firefly's tables are missing or of another release",
      detail: error.message,
      isTotal: true,
    };
  }
  if (code === STATEMENT_TIMEOUT) {
    const detail = "The database was stopped after 5 s. Narrow it: add a name or a queue, or begin later.";
    return { status: 503, title: "That took too long", detail, isTotal: false };
  }
  if (code === INSUFFICIENT_PRIVILEGE) {
    const detail = `The role of the dashboard's connection lacks a privilege: ${(error as Error).message}.`;
    return { status: 403, title: "The database does not allow that", detail, isTotal: false };
  }
  if (error instanceof FireflyError) {
    return { status: 409, title: "That cannot be done", detail: error.message, isTotal: false };
  }
  const detail = "The event dashboard.error of this instance has the error.";
  return { status: 500, title: "This part failed", detail, isTotal: false };
}

/** The box that stands in place of a part which failed. */
export function failureBox({ title, detail }: Failure): Html {
  return tell("bad", markup`<b>${title}</b><br><span class="small">${detail}</span>`, { alert: true });
}

/**
 * Makes a part of a page. If it fails, a box stands in its place and the rest of the page stays; an error that concerns
 * the whole page, as a lost database, is thrown.
 */
export async function guard(context: PageContext, make: () => Promise<Html>): Promise<Html> {
  try {
    return await make();
  } catch (error) {
    const failure = describeFailure(error);
    if (failure.isTotal) throw error;
    context.report(error);
    return failureBox(failure);
  }
}
