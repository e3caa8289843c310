// Question: whose requests does the server answer?
//
// - Host: a page of another site can let its own name point to this machine (DNS rebinding); it cannot
//   change the name that the browser sends. Only names of this machine are answered.
// - Token: if one is set, every request must carry it, once as ?token= (then in a cookie that scripts cannot read and
//   other sites do not send) or as "Authorization: Bearer".
// - Origin: a request that changes something must come from this page.
// The headers forbid everything that the page does not need: foreign scripts, styles, frames and forms.

import { createHash, timingSafeEqual } from "node:crypto";
import { isIP } from "node:net";
import type { Context, MiddlewareHandler } from "hono";
import { getCookie, setCookie } from "hono/cookie";
import { isLoopback } from "./loopback.ts";

export interface GuardOptions {
  /** The address that the server listens on. */
  readonly host: string;
  readonly token?: string | undefined;
}

const COOKIE = "birkhoff-token";
const WILDCARD = new Set(["0.0.0.0", "::"]);

const HEADERS: Readonly<Record<string, string>> = {
  "Content-Security-Policy":
    "default-src 'self'; img-src 'self' blob:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Referrer-Policy": "no-referrer",
  "X-Content-Type-Options": "nosniff",
};

export function guard({ host, token }: GuardOptions): MiddlewareHandler {
  return async (context, next) => {
    for (const [name, value] of Object.entries(HEADERS)) context.header(name, value);
    if (!answersTo(host, context.req.header("host"))) {
      return context.text("This server does not answer to that name; open it by its address.\n", 403);
    }
    if (token !== undefined && !brings(context, token)) {
      return context.text("This page needs its token: open the address that birkhoff serve printed.\n", 401);
    }
    const reads = context.req.method === "GET" || context.req.method === "HEAD";
    if (!reads && !comesFromHere(context)) return context.text("Only the page itself may ask for that.\n", 403);
    return next();
  };
}

/** Whether a server that listens on `host` is meant by this header Host. */
export function answersTo(host: string, header: string | undefined): boolean {
  const name = hostName(header);
  if (name === undefined) return false;
  if (name === host.toLowerCase() || isLoopback(name)) return true;
  // A server that listens on every address does not know its own. A rebound name is never a number.
  return WILDCARD.has(host) && isIP(name) > 0;
}

/** The host without its port, and an IPv6 address without its brackets. */
function hostName(header: string | undefined): string | undefined {
  const match = /^(?:\[([\da-f:.]+)\]|([^:[\]/@\s]+))(?::\d{1,5})?$/i.exec(header ?? "");
  return (match?.[1] ?? match?.[2])?.toLowerCase();
}

function brings(context: Context, token: string): boolean {
  const query = context.req.query("token");
  if (query !== undefined && isSameSecret(query, token)) {
    setCookie(context, COOKIE, token, { httpOnly: true, sameSite: "Strict", path: "/" });
    return true;
  }
  const [, bearer] = /^Bearer (.+)$/.exec(context.req.header("authorization") ?? "") ?? [];
  return [getCookie(context, COOKIE), bearer].some((given) => given !== undefined && isSameSecret(given, token));
}

/** Compare in a time that does not reveal how much of the token was right. */
export function isSameSecret(given: string, token: string): boolean {
  const [a, b] = [given, token].map((text) => createHash("sha256").update(text).digest());
  return timingSafeEqual(a!, b!);
}

function comesFromHere(context: Context): boolean {
  const origin = context.req.header("origin");
  try {
    return origin !== undefined && new URL(origin).host === context.req.header("host");
  } catch {
    return false;
  }
}
