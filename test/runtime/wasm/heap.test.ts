// Blocks of a memory never overlap, what is given back is used again, and what cannot grow stays as it was.

import * as fc from "fast-check";
import { expect, test } from "vitest";
import { createHeap } from "../../../src/runtime/wasm/heap.ts";

const START = 4096;

const action = fc.record({
  kind: fc.constantFrom("allocate", "allocate", "release", "resize"),
  bytes: fc.integer({ min: 0, max: 5000 }),
  which: fc.nat(),
});

test("blocks lie apart, whatever is asked for in whatever order, and all given back leaves nothing taken", () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
      const heap = createHeap(START);
      const blocks = new Map<number, number>();
      for (const { kind, bytes, which } of actions) {
        const address = [...blocks.keys()][which % Math.max(1, blocks.size)];
        if (kind === "allocate" || address === undefined) blocks.set(heap.allocate(bytes), bytes);
        else {
          blocks.delete(address);
          if (kind === "release") heap.release(address);
          else blocks.set(heap.resize(address, bytes), bytes);
        }
        const sorted = [...blocks].sort(([a], [b]) => a - b);
        for (const [index, [at, size]] of sorted.entries()) {
          expect(at % 64).toBe(0);
          expect(at).toBeGreaterThanOrEqual(START);
          expect(at + size + 64).toBeLessThanOrEqual(sorted[index + 1]?.[0] ?? heap.used());
        }
      }
      const used = heap.used();
      for (const address of blocks.keys()) heap.release(address);
      expect(heap.allocate(0)).toBe(START);
      expect(heap.used()).toBe(Math.max(used, START + 64));
    }),
  );
});

test("what is given back is used again, joined with what was beside it", () => {
  const heap = createHeap(START);
  const [a, b, c] = [heap.allocate(1000), heap.allocate(1000), heap.allocate(1000)];
  heap.allocate(10);
  const used = heap.used();
  for (const address of [a, c, b]) heap.release(address);
  expect(heap.allocate(3000)).toBe(a);
  expect(heap.used()).toBe(used);
  expect(() => heap.release(b)).toThrow("there is no block at");
});

test("a block grows where it is when what follows is free, and stays as it was when there is no more memory", () => {
  const heap = createHeap(START, (bytes) => {
    if (bytes > 2 * START) throw new Error("no more");
  });
  const [a, b] = [heap.allocate(1000), heap.allocate(1000)];
  heap.release(b);
  expect(heap.resize(a, 2000)).toBe(a);
  expect(() => heap.resize(a, START)).toThrow("no more");
  expect(heap.allocate(100)).toBeGreaterThan(a + 2000);
});
