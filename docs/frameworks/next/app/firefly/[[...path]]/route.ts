import { board } from "../../../firefly.ts";

const answer = (request: Request): Promise<Response> => board.fetch(request);

export { answer as GET, answer as POST };
