import { parseTaskId } from "@firefly/tasks";
import { answerOf, failureOf } from "../../../../answers.ts";
import { add } from "../../../../tasks.ts";

export async function GET(_request: Request, { params }: { params: Promise<{ id: string }> }): Promise<Response> {
  try {
    const { status, body } = answerOf(await add.get(parseTaskId((await params).id)));
    return Response.json(body, { status });
  } catch (error) {
    const { status, body } = failureOf(error);
    return Response.json(body, { status });
  }
}
