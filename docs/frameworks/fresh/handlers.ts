import { parseTaskId } from "@firefly/tasks";
import { answerOf } from "../answers.ts";
import { add } from "../tasks.ts";

/** The part of Fresh's context that the handlers need. */
interface Context {
  readonly req: Request;
  readonly params: Record<string, string>;
}

export async function postSum({ req }: Context): Promise<Response> {
  const body = await req.json().catch(() => undefined);
  const { id } = await add.schedule(body?.i, body?.j, body?.seconds);
  return Response.json({ id }, { status: 202, headers: { location: `/sums/${id}` } });
}

export async function getSum({ params }: Context): Promise<Response> {
  const { status, body } = answerOf(await add.get(parseTaskId(params.id!)));
  return Response.json(body, { status });
}
