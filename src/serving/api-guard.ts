// Question: whose requests does the API answer?
//
// - Host: a page of another site can let its own name point to this machine (DNS rebinding); it cannot change the name
//   that the browser sends. Only names of this machine are answered, unless a key is needed anyway.
// - Key: if one is set, every request but /health must bring it, as "Authorization: Bearer".
// - A page of another site gets no answer: no header allows it to read one, and the routes take only JSON, which it may
//   not send without asking.

import type { MiddlewareHandler } from "hono";
import { answersTo, isSameSecret } from "../report/server/guard.ts";
import { errorBody, RequestError } from "./errors.ts";

export interface ApiAccess {
  /** The address that the server listens on. */
  readonly host: string;
  readonly key?: string | undefined;
}

export function apiGuard({ host, key }: ApiAccess): MiddlewareHandler {
  return async (context, next) => {
    context.header("X-Content-Type-Options", "nosniff");
    context.header("Cache-Control", "no-store");
    const refuse = (error: RequestError): Response => context.json(errorBody(error), error.status);
    if (key === undefined && !answersTo(host, context.req.header("host")))
      return refuse(new RequestError(403, "wrong_host", "This server does not answer to that name; use its address."));
    const [, given = ""] = /^Bearer (.+)$/.exec(context.req.header("authorization") ?? "") ?? [];
    if (key !== undefined && context.req.path !== "/health" && !isSameSecret(given, key))
      return refuse(
        new RequestError(401, "invalid_api_key", "The key is missing or wrong; send it as Authorization: Bearer KEY."),
      );
    return next();
  };
}
