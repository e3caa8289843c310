// Question: how does the live page's server come up, and how does it end?

import type { AddressInfo } from "node:net";
import { createAdaptorServer } from "@hono/node-server";
import { createRoutes, type ServerOptions } from "./routes.ts";

export interface PageServer {
  /** What to open; with the token where there is one. */
  readonly url: string;
  readonly port: number;
  close(): Promise<void>;
}

export interface ListenOptions extends ServerOptions {
  /** 0 for any that is free. */
  readonly port: number;
}

/** @throws Error that names another port when this one is taken */
export async function listen({ port, ...options }: ListenOptions): Promise<PageServer> {
  const server = createAdaptorServer({ fetch: createRoutes(options).fetch });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => reject(explained(error, options.host, port)));
    server.listen(port, options.host, resolve);
  });
  const { port: bound } = server.address() as AddressInfo;
  const shown = options.host === "0.0.0.0" || options.host === "::" ? "127.0.0.1" : options.host;
  const address = `http://${shown.includes(":") ? `[${shown}]` : shown}:${bound}/`;
  return {
    url: options.token === undefined ? address : `${address}?token=${encodeURIComponent(options.token)}`,
    port: bound,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        if ("closeAllConnections" in server) server.closeAllConnections();
      }),
  };
}

function explained(error: NodeJS.ErrnoException, host: string, port: number): Error {
  const mends: Readonly<Record<string, string>> = {
    EADDRINUSE: `Port ${port} is taken, perhaps by another birkhoff serve. Take another: --port ${port + 1}`,
    EACCES: `Port ${port} may not be used; ports from 1024 on may: --port 7333`,
    EADDRNOTAVAIL: `${host} is no address of this machine; --host 127.0.0.1 reaches this machine only, 0.0.0.0 is every address`,
    ENOTFOUND: `${host} is not known; --host 127.0.0.1 reaches this machine only, 0.0.0.0 is every address`,
  };
  return new Error(mends[error.code ?? ""] ?? `Cannot listen on ${host}, port ${port}: ${error.message}`, {
    cause: error,
  });
}
