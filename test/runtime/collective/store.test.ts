// Ranks that meet at an address: who has not come is named, and who does not belong there is told why.

import { expect, test } from "vitest";
import { launchedAs } from "../../../src/runtime/collective/launched.ts";
import { openCollective } from "../../../src/runtime/collective/open.ts";
import { meet, type Meeting } from "../../../src/runtime/collective/tcp/store.ts";
import { freePort } from "./ranks.ts";

const own = { hosts: [], machine: "here", port: 1 };
const told = (meeting: Promise<Meeting>): Promise<Meeting | string> =>
  meeting.catch((error: unknown) => (error as Error).message);

test("all hear where all are", async () => {
  const place = { host: "127.0.0.1", port: await freePort() };
  // Rank 0 may come last.
  const others = [1, 2].map((rank) => meet(place, rank, 3, { ...own, port: 10 + rank }, 10));
  const all = await Promise.all([meet(place, 0, 3, { ...own, port: 10 }, 10), ...others]);
  for (const { addresses, token } of all) {
    expect(addresses.map(({ port }) => port)).toEqual([10, 11, 12]);
    expect(token).toBe(all[0].token);
  }
});

test("those that have not come are named, and a rank 0 that is not there", async () => {
  const place = { host: "127.0.0.1", port: await freePort() };
  const [first, second] = await Promise.all([told(meet(place, 0, 4, own, 1)), told(meet(place, 2, 4, own, 2))]);
  expect(first).toContain(
    `ranks 1 and 3 of 4 did not come to the store of rank 0 at 127.0.0.1:${place.port} within 1 s`,
  );
  expect(second).toContain(`rank 2 did not hear from the store of rank 0 at 127.0.0.1:${place.port} within 2 s`);
});

test("a rank that is there twice, and one of another job, are refused", async () => {
  const place = { host: "127.0.0.1", port: await freePort() };
  const store = told(meet(place, 0, 3, own, 2));
  const first = told(meet(place, 1, 3, own, 3));
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(await told(meet(place, 1, 3, own, 2))).toContain("two processes say that they are rank 1");
  expect(await told(meet(place, 1, 2, own, 2))).toContain("rank 1 says that there are 2 ranks, and rank 0 that 3 are");
  expect(await store).toContain("rank 2 of 3 did not come");
  expect(await first).toContain("did not hear from the store");
});

test("the environment says who a process is, and an address that is none is refused", async () => {
  const said = { RANK: "3", WORLD_SIZE: "8", LOCAL_RANK: "1", LOCAL_WORLD_SIZE: "2", MASTER_ADDR: "node-0" };
  expect(launchedAs(said)).toEqual({
    rank: 3,
    size: 8,
    here: 2,
    local: 1,
    libraries: [],
    store: { host: "node-0", port: 29_500 },
  });
  expect(() => launchedAs({ ...said, MASTER_PORT: "no" })).toThrow("MASTER_PORT=no is given; it must be a port");
  // Other programs have variables of such names, too.
  expect(launchedAs({ RANK: "3", WORLD_SIZE: "8" })).toBeUndefined();
  expect(launchedAs({ ...said, OMPI_COMM_WORLD_RANK: "0", OMPI_COMM_WORLD_SIZE: "2" })).toMatchObject({
    rank: 0,
    size: 2,
  });
  await expect(openCollective({ store: { address: "node-0", rank: 0, size: 2 } })).rejects.toThrow(
    'the store\'s address is "node-0"; it must be a machine and a port',
  );
});
