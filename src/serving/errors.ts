// Question: what does a client hear when a request is not answered?
//
//   {"error": {"message": "…", "type": "…", "param": null, "code": "…"}}      as OpenAI's API has it

import { BusyError, DrainingError } from "./engine.ts";

/** The codes of HTTP that this server uses for errors. */
export type ErrorStatus = 400 | 401 | 403 | 404 | 413 | 415 | 429 | 500 | 503 | 504;

/** A request that is refused. */
export class RequestError extends Error {
  readonly status: ErrorStatus;
  readonly code: string;

  constructor(status: ErrorStatus, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: null;
    readonly code: string;
  };
}

/** What a failure means to the client: an error of the request, or of the server. */
export function asRequestError(error: unknown): RequestError {
  if (error instanceof RequestError) return error;
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof BusyError) return new RequestError(429, "queue_full", message);
  if (error instanceof DrainingError) return new RequestError(503, "draining", message);
  return new RequestError(500, "internal_error", message);
}

export function errorBody({ status, code, message }: RequestError): ErrorBody {
  const type = status === 429 ? "rate_limit_error" : status >= 500 ? "server_error" : "invalid_request_error";
  return { error: { message, type, param: null, code } };
}
