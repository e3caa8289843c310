// Question: how does the live page's server start and stop?

import type { AddressInfo } from "node:net";
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
  const [{ createAdaptorServer }, { createRoutes }] = await Promise.all([
    import("@hono/node-server"),
    import("./routes.ts"),
  ]);
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
    EACCES: `Port ${port} may not be used. Use a port from 1024 on: --port 7333`,
    EADDRNOTAVAIL: `${host} is not an address of this machine. Use --host 127.0.0.1 for this machine only, or 0.0.0.0 for every address`,
    ENOTFOUND: `${host} is not known. Use --host 127.0.0.1 for this machine only, or 0.0.0.0 for every address`,
  };
  return new Error(mends[error.code ?? ""] ?? `Cannot listen on ${host}, port ${port}: ${error.message}`, {
    cause: error,
  });
}
