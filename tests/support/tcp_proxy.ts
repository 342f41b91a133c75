import net from "node:net";

/**
 * What becomes of traffic. `pass`: it goes through. `reject`: new connections are accepted and closed. `hole`: nothing
 * goes through in either direction, and nobody is told. `mute`: requests go through, replies do not.
 */
export type ProxyMode = "pass" | "reject" | "hole" | "mute";

/** One connection through the proxy. */
export interface ProxyConnection {
  /** What becomes of its traffic, whatever becomes of that of others. */
  mode?: ProxyMode;
}

/** A TCP proxy in front of a database server that can fail in the ways in which networks fail. */
export class TcpProxy implements AsyncDisposable {
  mode: ProxyMode = "pass";
  /** What new connections wait for, with all that is sent over them, before they go on to the server. */
  gate: Promise<unknown> | undefined;
  /** How many connections were accepted. */
  accepted = 0;
  /** Sees what a client sends before it goes through, and may change the mode, of all or of its connection, or cut. */
  onRequest: (text: string, connection: ProxyConnection) => void = () => {};
  /** Called when something of the server's has gone through to its client. */
  onReply: (connection: ProxyConnection) => void = () => {};
  /** Changes what a client sends, byte for byte. */
  tamper: (text: string) => string = (text) => text;
  readonly #server: net.Server;
  readonly #target: { host: string; port: number };
  readonly #sockets = new Set<net.Socket>();

  private constructor(target: URL) {
    this.#target = { host: target.hostname, port: Number(target.port || 5432) };
    // A client that closes its half must be able to wait for a reply that never comes, as it would behind a dead network.
    this.#server = net.createServer({ allowHalfOpen: true }, (client) => this.#accept(client));
  }

  /** Starts one in front of the server of a database URL. */
  static async start(url: string): Promise<TcpProxy> {
    const proxy = new TcpProxy(new URL(url));
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  /** `url` by way of this proxy. */
  through(url: string): string {
    const { port } = this.#server.address() as net.AddressInfo;
    return Object.assign(new URL(url), { hostname: "127.0.0.1", port: String(port) }).href;
  }

  /** Closes every connection, or, with `reset`, breaks it off, as a firewall does: the driver sees an error then. */
  cut({ reset = false } = {}): void {
    for (const socket of this.#sockets) {
      if (reset) socket.resetAndDestroy();
      else socket.destroy();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.cut();
    await closed;
  }

  #accept(client: net.Socket): void {
    this.accepted++;
    this.#keep(client);
    if (this.mode === "reject") return void client.end();
    if (this.gate) void this.gate.then(() => client.destroyed || this.#join(client));
    else this.#join(client);
  }

  #join(client: net.Socket): void {
    const server = net.connect(this.#target);
    const connection: ProxyConnection = {};
    const mode = () => connection.mode ?? this.mode;
    const replies = () => mode() === "pass" || mode() === "reject";
    this.#keep(server);
    client.on("data", (data) => {
      const text = data.toString("latin1");
      this.onRequest(text, connection);
      if (mode() !== "hole" && !server.destroyed) server.write(this.tamper(text), "latin1");
    });
    server.on("data", (data) => {
      if (!replies() || client.destroyed) return;
      client.write(data);
      this.onReply(connection);
    });
    client.on("end", () => mode() !== "hole" && server.end());
    server.on("end", () => replies() && client.end());
    client.on("close", () => server.destroy());
    server.on("close", () => replies() && client.destroy());
  }

  #keep(socket: net.Socket): void {
    this.#sockets.add(socket);
    socket.setNoDelay(true);
    socket.on("error", () => {}); // its close follows
    socket.on("close", () => this.#sockets.delete(socket));
  }
}
