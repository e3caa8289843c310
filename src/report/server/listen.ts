// Question: how does the live page's server start and stop?

import type { Server } from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { expectPackages } from "../../files/packages.ts";
import type { ServerOptions } from "./routes.ts";

export interface PageServer {
  /** The address to open, with the token if there is one. */
  readonly url: string;
  readonly port: number;
  close(): Promise<void>;
}

export interface ListenOptions extends ServerOptions {
  /** 0 for any free port. */
  readonly port: number;
}

/** @throws Error that names another port when this one is taken, and MissingPackages where hono is not installed */
export async function listen({ port, ...options }: ListenOptions): Promise<PageServer> {
  expectPackages("page");
  const { createRoutes } = await import("./routes.ts");
  const { address, port: bound, close } = await startServer(createRoutes(options).fetch, { host: options.host, port });
  return {
    url: options.token === undefined ? address : `${address}?token=${encodeURIComponent(options.token)}`,
    port: bound,
    close: () => close(),
  };
}

/**
 * For a server that takes long to start: throw at once what would keep it from listening then.
 *
 * @throws Error that names another port when this one is taken
 */
export async function expectFree({ host, port }: { readonly host: string; readonly port: number }): Promise<void> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => reject(explained(error, host, port)));
    server.listen(port, host, resolve);
  });
  await new Promise((resolve) => void server.close(resolve));
}

/** A server that listens. */
export interface StartedServer {
  /** Such as "http://127.0.0.1:7333/". */
  readonly address: string;
  readonly port: number;
  /** Node's own server, for its limits. */
  readonly server: Server;
  /**
   * Take no more connections; those that have an answer under way have so long to get it.
   *
   * @param patience milliseconds. Default 0
   */
  close(patience?: number): Promise<void>;
}

/** A server that closes looks so often which connections are idle. */
const IDLE_MS = 50;

/** @throws Error that names another port when this one is taken */
export async function startServer(
  fetch: (request: Request) => Response | Promise<Response>,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<StartedServer> {
  const { createAdaptorServer } = await import("@hono/node-server");
  const server = createAdaptorServer({ fetch }) as Server;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => reject(explained(error, host, port)));
    server.listen(port, host, resolve);
  });
  const { port: bound } = server.address() as AddressInfo;
  const shown = host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;
  return {
    address: `http://${shown.includes(":") ? `[${shown}]` : shown}:${bound}/`,
    port: bound,
    server,
    close: (patience = 0) =>
      new Promise((resolve) => {
        // A client keeps its connection after its answer.
        const idle = setInterval(() => server.closeIdleConnections(), IDLE_MS).unref();
        server.close(() => {
          clearInterval(idle);
          resolve();
        });
        setTimeout(() => server.closeAllConnections(), patience).unref();
      }),
  };
}

function explained(error: NodeJS.ErrnoException, host: string, port: number): Error {
  const mends: Readonly<Record<string, string>> = {
    EADDRINUSE: `Port ${port} is taken, perhaps by another birkhoff serve. Take another: --port ${port + 1}`,
    EACCES: `Port ${port} may not be used. Use a port from 1024 on: --port 7333`,
    EADDRNOTAVAIL: `${host} is not an address of this machine. Use --host 127.0.0.1 for this machine only, or 0.0.0.0 for every address`,
    ENOTFOUND: `${host} is not known. Use --host 127.0.0.1 for this machine only, or 0.0.0.0 for every address`,
  };
  return new Error(mends[error.code ?? ""] ?? `Cannot listen on ${host}, port ${port}: ${error.message}`, {
    cause: error,
  });
}
