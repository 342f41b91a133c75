import { failureOf } from "../../../answers.ts";
import { add } from "../../../tasks.ts";

export async function POST(request: Request): Promise<Response> {
  try {
    const body = await request.json().catch(() => undefined);
    const { id } = await add.schedule(body?.i, body?.j, body?.seconds);
    return Response.json({ id }, { status: 202, headers: { location: `/sums/${id}` } });
  } catch (error) {
    const { status, body } = failureOf(error);
    return Response.json(body, { status });
  }
}
