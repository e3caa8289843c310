// Table 2 of the paper, row by row, and the totals published for the fused forms.

import { expect, test } from "vitest";
import { showAmount, totalTraffic, trafficOf } from "../../src/planning/traffic.ts";

function rows(scheme: Parameters<typeof trafficOf>[0], n: number): string[] {
  return trafficOf(scheme, n).map(({ name, read, write }) => `${name}: ${showAmount(read)} / ${showAmount(write)}`);
}

test("Hyper-Connections, row by row at n = 4", () => {
  expect(rows("residual", 4)).toEqual(["sum: 2C / C"]);
  expect(rows("hc", 4)).toEqual([
    "coefficients: 4C / 24",
    "H_pre x: 4C + 4 / C",
    "H_post y: C + 4 / 4C",
    "H_res x: 4C + 16 / 4C",
    "sum: 8C / 4C",
  ]);
});

test.each([1, 2, 4, 8, 16])("the closed forms at n = %i", (n) => {
  const total = (scheme: Parameters<typeof trafficOf>[0]) => totalTraffic(trafficOf(scheme, n));
  const coefficients = n * n + 2 * n;
  expect(total("hc")).toEqual({
    read: { channels: 5 * n + 1, values: coefficients },
    write: { channels: 3 * n + 1, values: coefficients },
  });
  const both = (scheme: Parameters<typeof trafficOf>[0]): number =>
    total(scheme).read.channels + total(scheme).write.channels;
  expect(total("fused").read.channels).toBe(3 * n + 1);
  expect(total("fused").write.channels).toBe(n + 1);
  expect(both("seam-reread")).toBe(3 * n + 2);
  expect(both("seam")).toBe(2 * n + 2);
  expect(both("single-pass")).toBe(2 * n + 2);
  expect(both("unfused")).toBe(both("hc") + 2 * n);
});

test("fusing the write saves what the paper says: (3n+1)C read and 3nC written become (n+1)C and nC", () => {
  const n = 4;
  const parts = trafficOf("hc", n).slice(2);
  const before = totalTraffic(parts);
  const after = trafficOf("fused", n).at(-1)!;
  expect([before.read.channels, before.write.channels]).toEqual([3 * n + 1, 3 * n]);
  expect([after.read.channels, after.write.channels]).toEqual([n + 1, n]);
});
