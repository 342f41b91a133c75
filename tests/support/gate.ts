/** A way to a database that can be shut, as if the server had gone. */
export interface Gate extends AsyncDisposable {
  readonly url: string;
  /** Refuses and cuts connections. */
  shut(): void;
  /** Lets connections through. */
  open(): void;
}

/** Makes a gate to the database at `url`; it stands open unless `isShut`. */
export function gateTo(url: string, { isShut = false } = {}): Gate {
  const target = new URL(url);
  const first = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = first.addr;
  const connections = new Set<Deno.Conn>();
  let listener: Deno.Listener | undefined = first;
  let accepting = accept(first);

  async function accept(listener: Deno.Listener): Promise<void> {
    for await (const inner of listener) {
      const outer = await Deno.connect({ hostname: target.hostname, port: Number(target.port || 5432) });
      connections.add(inner).add(outer);
      inner.readable.pipeTo(outer.writable).catch(() => {});
      outer.readable.pipeTo(inner.writable).catch(() => {});
    }
  }
  function shut(): void {
    listener?.close();
    listener = undefined;
    for (const connection of connections) close(connection);
    connections.clear();
  }
  const gate = {
    url: Object.assign(new URL(url), { host: `127.0.0.1:${port}` }).href,
    shut,
    open() {
      listener = Deno.listen({ hostname: "127.0.0.1", port });
      accepting = accept(listener);
    },
    async [Symbol.asyncDispose]() {
      shut();
      await accepting;
    },
  };
  if (isShut) shut();
  return gate;
}

/** The pipe may have closed it already. */
function close(connection: Deno.Conn): void {
  try {
    connection.close();
  } catch (error) {
    if (!(error instanceof Deno.errors.BadResource)) throw error;
  }
}
