// Question: how does the API's server start, and how does it stop without losing an answer?
//
// Asked to stop, it takes no more texts (503), finishes those that it has, sends their answers and closes. What is not
// finished by then ends with an error.

import { expectPackages } from "../files/packages.ts";
import { startServer } from "../report/server/listen.ts";
import { RequestError } from "./errors.ts";
import type { ApiOptions } from "./routes.ts";
import type { Served } from "./served.ts";

export interface ApiServer {
  /** Such as "http://127.0.0.1:7333/". */
  readonly url: string;
  readonly port: number;
  /**
   * Drain the engine, close it, and close the server.
   *
   * @param patience seconds for the texts that there are, and for clients to read them
   */
  stop(patience: number): Promise<void>;
  /** Close the server alone. */
  close(): Promise<void>;
}

/** Connections at a time, and milliseconds that there are at least for the last bytes of answers when the server stops. */
const MOST_CONNECTIONS = 1024;
const LAST_BYTES_MS = 1000;

export async function listenForApi(
  served: Served,
  { port, ...options }: ApiOptions & { readonly port: number },
): Promise<ApiServer> {
  expectPackages("page");
  const { createApi } = await import("./routes.ts");
  const {
    server,
    address,
    port: bound,
    close,
  } = await startServer(createApi(served, options).fetch, {
    host: options.host,
    port,
  });
  server.maxConnections = MOST_CONNECTIONS;
  // A client that neither reads nor writes for longer than any answer takes has gone.
  server.setTimeout(1000 * (options.deadline + 30));
  return {
    url: address,
    port: bound,
    async close() {
      await close();
      served.encoder.close();
    },
    async stop(patience) {
      const end = performance.now() + 1000 * patience;
      const drained = served.engine.drain();
      const late = new Promise<void>((resolve) => void setTimeout(resolve, 1000 * patience).unref());
      await Promise.race([drained, late]);
      await served.engine.close(
        new RequestError(503, "stopped", "The server was stopped before the answer was ready."),
      );
      await close(Math.max(LAST_BYTES_MS, end - performance.now()));
      served.encoder.close();
    },
  };
}
