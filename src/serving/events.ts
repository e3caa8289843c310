// Question: how do the events of a streamed answer reach its client?
//
// As server-sent events, "data: …" and an empty line, written straight to Node's response: a token goes from the model to
// the socket through no other stream. A client that reads slowly holds up only itself: its next event waits until the
// socket has taken those before.

import type { HttpBindings } from "@hono/node-server";
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import type { Context } from "hono";

/** Events on their way to one client. */
export interface EventStream {
  /** What the route answers: the response goes its own way. */
  readonly response: Response;
  /** Send an event; wait for it before the next one. Nothing is sent to a client that has gone, or after the end. */
  send(data: string): Promise<void> | undefined;
  end(): void;
}

/**
 * Begin an answer of events.
 *
 * @param gone is called if the client goes before the end
 */
export function openEvents(context: Context, gone: () => void): EventStream {
  const { outgoing } = context.env as HttpBindings;
  outgoing.on("close", () => {
    if (!outgoing.writableFinished) gone();
  });
  outgoing.writeHead(200, {
    // Those that the guard has set. Hono's own response stays untouched: it must hand on the one below as it is.
    ...Object.fromEntries(context.body(null).headers),
    "Content-Type": "text/event-stream",
  });
  let free: Promise<void> | undefined;
  const untilFree = (): Promise<void> =>
    new Promise((resolve) => {
      const go = (): void => {
        outgoing.off("drain", go).off("close", go);
        free = undefined;
        resolve();
      };
      outgoing.on("drain", go).on("close", go);
    });
  return {
    response: RESPONSE_ALREADY_SENT,
    send(data) {
      if (outgoing.destroyed || outgoing.writableEnded || outgoing.write(`data: ${data}\n\n`)) return undefined;
      // Many texts of one answer may wait.
      return (free ??= untilFree());
    },
    end: () => void outgoing.end(),
  };
}
