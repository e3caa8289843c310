// What is said of the starts of mHC, measured: the published table, and equality with the residual model.

import { describe, expect, test } from "vitest";
import { hc } from "../../src/connections/hc.ts";
import {
  type InitialisationName,
  initialisationNames,
  initialisations,
} from "../../src/connections/initialisations.ts";
import { mhc } from "../../src/connections/mhc.ts";
import { residual } from "../../src/connections/residual.ts";
import { measureStart, type Start, type StartOptions } from "../../src/study/start.ts";

const small: StartOptions = { depth: 6, channels: 8, tokens: 2 };
/** The product takes 60 sublayers; on two channels and one token they cost little. */
const thin: StartOptions = { depth: 60, channels: 2, tokens: 1 };
const ROUNDING = 1e-11;

const start = (initialisation: InitialisationName, streams = 4, options = small): Start =>
  measureStart(mhc({ streams, initialisation }), options);

test.each([
  ["zero", 0.25, 0.25, 0, 0.25, 0.25],
  ["lucidrains", 0.475, 0.175, 0.3, 0.25, 0.25],
  ["skyrl", 0.87, 0.043, 0.827, 0.25, 0.25],
  ["isohc", 0.948, 0.017, 0.931, 0.26, 0.247],
  ["mhc-lite", 0.999, 0.00034, 0.99866, 0.942, 0.019],
  ["gpt2-equivalent", 1, 0, 1, 1, 0],
] as const)(
  "%s: the published mixer, |λ₂| and product of 60",
  (name, diagonal, off, second, productDiagonal, productOff) => {
    const measured = start(name, 4, thin);
    expect(measured.mixing.diagonal).toBeCloseTo(diagonal, 3);
    expect(measured.mixing.offDiagonal).toBeCloseTo(off, off < 0.001 ? 5 : 3);
    expect(measured.second).toBeCloseTo(second, second > 0.99 ? 5 : 3);
    expect(measured.product.diagonal).toBeCloseTo(productDiagonal, 3);
    expect(measured.product.offDiagonal).toBeCloseTo(productOff, 3);
    if (name === "skyrl") expect(measured.second ** 60).toBeCloseTo(1.1e-5, 6);
  },
);

test("reads and writes of the published starts", () => {
  const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
  const [zero, lucidrains, lite] = (["zero", "lucidrains", "mhc-lite"] as const).map((name) => start(name));
  expect([zero!.read, zero!.write]).toEqual([2, 1]);
  expect(lucidrains!.read).toBeCloseTo(sigmoid(1) + 1.5, 12);
  expect(lucidrains!.write).toBeCloseTo(2 * sigmoid(1), 12);
  expect(lite!.read).toBeCloseTo(sigmoid(1) + 3 * sigmoid(-1), 12);
});

describe.each([1, 2, 3, 4, 5, 8])("%i streams", (n) => {
  test.each(["pre-norm", "skyrl", "gpt2-equivalent", "hyper-connections"] as const)(
    "%s is the residual model, for blocks with and without a norm",
    (name) => {
      const { difference, bare } = start(name, n);
      // A sigmoid stops short of reading the whole of a single stream: by 2^-24, which only bare blocks see.
      for (const value of [difference.fixed, difference.started]) expect(value).toBeLessThan(ROUNDING);
      for (const value of [bare.fixed, bare.started]) expect(value).toBeLessThan(n === 1 ? 1e-6 : ROUNDING);
    },
  );
  test("so is HC", () => {
    const { difference, bare } = measureStart(hc({ streams: n }), small);
    for (const value of [difference, bare]) expect(Math.max(value.fixed, value.started)).toBeLessThan(ROUNDING);
  });
  test("pre-norm tells its streams apart, and can learn all its maps", () => {
    const { symmetry, alive } = start("pre-norm", n, { ...small, depth: 2 * n });
    if (n > 1) expect(symmetry.fixed).toBeGreaterThan(0.1);
    expect(alive).toEqual({ phi: true, alpha: false, res: n >= 4 });
  });
});

test("the default is near the residual model, not equal to it", () => {
  const { difference } = start("default");
  expect(difference.fixed).toBeGreaterThan(1e-3);
  expect(difference.fixed).toBeLessThan(0.5);
});

test("equal streams with equal maps get equal gradients", () => {
  const { symmetry, alive } = start("gpt2-equivalent");
  expect(symmetry).toEqual({ fixed: 0, started: 0 });
  expect(alive).toEqual({ phi: false, alpha: false, res: false });
  expect(start("zero").symmetry.fixed).toBeLessThan(ROUNDING);
  expect(start("zero").symmetry.started).toBeGreaterThan(1e-4);
});

test("two streams that are alike among many are found", () => {
  const { read, write } = initialisations["pre-norm"];
  const twins = {
    ...initialisations["pre-norm"],
    read: (n: number, index: number) => read(n, index).with(3, read(n, index)[2]!),
    write: (n: number, index: number) => write(n, index).with(3, write(n, index)[2]!),
  };
  expect(measureStart(mhc({ initialisation: twins }), small).symmetry.fixed).toBeLessThan(ROUNDING);
});

test("every start can be measured at one stream", () => {
  for (const name of initialisationNames) {
    const { mixing, second, symmetry } = start(name, 1, thin);
    expect(mixing).toEqual({ diagonal: 1, offDiagonal: NaN });
    expect(second).toBeNaN();
    expect(symmetry).toEqual({ fixed: 0, started: 0 });
  }
});

test("a connection without coefficients is refused", () => {
  expect(() => measureStart(residual(), small)).toThrow(
    "measureStart: residual has no coefficients to measure; give hc() or mhc().",
  );
});
