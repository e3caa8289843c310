// How a product is cut: into tiles that a kernel can hold, and with panels as wide as the engine does best.

import { assert, integer, property } from "fast-check";
import { describe, expect, it } from "vitest";
import { outerGrid } from "../../../src/runtime/wasm/gemm-grid.ts";
import { instantiate, type KernelExports } from "../../../src/runtime/wasm/module.ts";
import { nodeHost } from "../../../src/runtime/wasm/node/host.ts";
import { probePanelWidth } from "../../../src/runtime/wasm/probe.ts";
import { floats, type KernelFunction, memory, relaxed, scratch, words } from "./gemm-harness.ts";

describe("outerGrid", () => {
  it("keeps every tile within what the kernel can hold, and the tasks enough for the threads", () => {
    assert(
      property(
        integer({ min: 1, max: 5000 }),
        integer({ min: 1, max: 5000 }),
        integer({ min: 1, max: 8 }),
        (M, N, threads) => {
          const { down, across } = outerGrid(M, N, threads);
          expect(Math.ceil(M / 256)).toBeLessThanOrEqual(down);
          expect(Math.ceil(N / 320)).toBeLessThanOrEqual(across);
          if (M >= 256 && N >= 256) expect(down * across).toBeGreaterThanOrEqual(Math.min(2 * threads, 8));
        },
      ),
    );
  });
});

describe("probePanelWidth", () => {
  it("chooses one of the two and leaves the module set to it", async () => {
    const { exports } = instantiate((await nodeHost.loadKernels(relaxed ? "relaxed" : "simd")).module, memory);
    const { panelWidth, gflops } = probePanelWidth(exports, memory, scratch);
    expect(exports.panelWidth()).toBe(panelWidth);
    expect(gflops[8]).toBeGreaterThan(0);
  });

  it("says so when a tile computes a wrong product", async () => {
    const { exports } = instantiate((await nodeHost.loadKernels("simd")).module, memory);
    const broken: KernelExports = {
      startProgram: exports.startProgram,
      openProgram: exports.openProgram,
      joinProgram: exports.joinProgram,
      workerLoop: exports.workerLoop,
      runOne: exports.runOne,
      currentCall: exports.currentCall,
      setPanelWidth: exports.setPanelWidth,
      panelWidth: exports.panelWidth,
      packB: exports["packB"]!,
      gemmRows: (list: number, begin: number, end: number, own: number) => {
        (exports["gemmRows"] as KernelFunction)(list, begin, end, own);
        floats[words[list / 4 + 3]! / 4 + 5]! += 1;
      },
    };
    expect(() => probePanelWidth(broken, memory, scratch)).toThrow(/panels of 8 columns is wrong.*C\[0, 5\]/s);
  });
});
