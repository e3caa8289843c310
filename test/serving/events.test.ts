// The events of one answer, which many texts share.

import { Writable } from "node:stream";
import { Context } from "hono";
import { expect, test } from "vitest";
import { openEvents } from "../../src/serving/events.ts";

test("many texts wait together for a client that reads slowly, and say nothing after the end", async () => {
  let taken = "";
  const socket = new Writable({
    highWaterMark: 16,
    write(chunk: Buffer, _, done) {
      taken += chunk.toString();
      setImmediate(done);
    },
  });
  const outgoing = Object.assign(socket, { writeHead() {} });
  const events = openEvents(new Context(new Request("http://localhost/"), { env: { outgoing } }), () => {});
  const before = outgoing.listenerCount("close");
  const waiting = Array.from({ length: 20 }, (_, text) => events.send(`token of ${text}`));
  expect(waiting.every((wait) => wait instanceof Promise)).toBe(true);
  expect(outgoing.listenerCount("drain")).toBe(1);
  expect(outgoing.listenerCount("close")).toBe(before + 1);
  await Promise.all(waiting.filter((wait) => wait !== undefined));
  expect(outgoing.listenerCount("drain")).toBe(0);
  expect(outgoing.listenerCount("close")).toBe(before);
  expect(taken.match(/data: token of \d+\n\n/g)).toHaveLength(20);
  events.end();
  expect(events.send("late")).toBeUndefined();
});
