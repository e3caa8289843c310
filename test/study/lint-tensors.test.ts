// lint --against on the tensors that belong to no connection: equal, rounded, changed, exchanged, missing, renamed.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { encodeHead } from "../../src/files/write-safetensors.ts";
import { lintFile } from "../../src/study/lint-file.ts";
import type { LintCheck } from "../../src/study/lint-check.ts";
import { matchNames } from "../../src/study/lint-names.ts";
import { normal, uniform } from "../ops/harness.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-lint-tensors-"));
afterAll(() => fs.rmSync(folder, { recursive: true }));

const random = uniform(5);
const draw = (length: number): Float32Array => Float32Array.from({ length }, () => normal(random));
const [V, C, N] = [9, 6, 2];
const M = N * N + 2 * N;

interface Stored {
  readonly shape: readonly number[];
  readonly data: Float32Array;
  readonly dtype?: "F32" | "BF16" | "F64";
}
type Model = Readonly<Record<string, Stored>>;

const model: Model = {
  embedding: { shape: [V, C], data: draw(V * C) },
  "layers.0.attention.connection.phi": { shape: [M, N * C], data: draw(M * N * C) },
  "layers.0.attention.connection.alpha": { shape: [3], data: Float32Array.of(0.1, 0.1, 0.1) },
  "layers.0.attention.connection.bias": { shape: [M], data: draw(M) },
  "layers.0.attention.query": { shape: [C, C], data: draw(C * C) },
  "layers.0.attention.key": { shape: [C, C], data: draw(C * C) },
  norm: { shape: [C], data: draw(C) },
  head: { shape: [C, V], data: draw(C * V) },
};

function raw({ data, dtype = "F32" }: Stored): Uint8Array {
  if (dtype === "F64") return new Uint8Array(Float64Array.from(data).buffer);
  if (dtype === "F32") return new Uint8Array(Float32Array.from(data).buffer);
  return new Uint8Array(
    Uint16Array.from(new Uint32Array(Float32Array.from(data).buffer), (bits) => bits >>> 16).buffer,
  );
}

let count = 0;
function write(tensors: Model): string {
  const entries = Object.entries(tensors).map(([name, stored]) => ({
    name,
    dtype: "F32",
    ...stored,
    raw: raw(stored),
  }));
  const head = encodeHead(entries.map((entry) => ({ ...entry, bytes: entry.raw.length })));
  const file = path.join(folder, `${count++}.safetensors`);
  fs.writeFileSync(file, Buffer.concat([head, ...entries.map((entry) => entry.raw)]));
  return file;
}

const original = write(model);
function against(tensors: Model, other = original): LintCheck | undefined {
  const { checks } = lintFile(write(tensors), { against: other });
  expect(checks.find(({ name }) => name === "against the other file")?.verdict).toBe("good");
  return checks.find(({ name }) => name === "other tensors");
}
const changed = (name: string, change: (value: number, at: number) => number): Model => ({
  ...model,
  [name]: { ...model[name]!, data: model[name]!.data.map(change) },
});
const without = (...names: readonly string[]): Model =>
  Object.fromEntries(Object.entries(model).filter(([name]) => !names.includes(name)));

test("equal ones are good, also under a prefix", () => {
  expect(against(model)).toMatchObject({ verdict: "good", measured: "5 tensors beside the connections are equal" });
  const prefixed = Object.fromEntries(Object.entries(model).map(([name, stored]) => [`model.${name}`, stored]));
  expect(against(prefixed)).toMatchObject({ verdict: "good" });
});

test("files of connections alone have nothing else to compare", () => {
  const bare = without("embedding", "layers.0.attention.query", "layers.0.attention.key", "norm", "head");
  expect(against(bare, write(bare))).toBeUndefined();
  expect(against(bare)).toMatchObject({ verdict: "error", where: { length: 5 } });
});

describe("other weights are an error, with the evidence", () => {
  const row = (at: number): number => model["embedding"]!.data[(((at - C) % (V * C)) + V * C) % (V * C)]!;
  test.each([
    [
      "one number",
      changed("embedding", (value, at) => (at === 17 ? value + 1 : value)),
      "embedding",
      /1 of 54 numbers/,
    ],
    [
      "a last bit",
      changed("norm", (value, at) => (at === 2 ? value * (1 + 2 ** -22) : value)),
      "norm",
      /1 of 6 numbers/,
    ],
    [
      "NaN",
      changed("head", (value, at) => (at === 3 ? NaN : value)),
      "head",
      /1 of 54 numbers is not finite here \(number 3 is NaN\)/,
    ],
    ["rows rolled", changed("embedding", (_, at) => row(at)), "embedding", /rows are rolled by 1/],
    ["a factor", changed("head", (value) => 2 * value), "head", /scaled by 2/],
    [
      "transposed",
      changed(
        "layers.0.attention.query",
        (_, at) => model["layers.0.attention.query"]!.data[(at % C) * C + Math.floor(at / C)]!,
      ),
      "layers.0.attention.query",
      /transposed as a whole/,
    ],
  ])("%s", (_, tensors, where, says) => {
    const check = against(tensors)!;
    expect(check).toMatchObject({ verdict: "error", where: [where] });
    expect(check.measured).toContain("1 of 5 tensors");
    expect(check.measured).toMatch(/largest difference .* here, .* there/);
    expect(check.remedy).toMatch(says);
  });
  test("tensors exchanged", () => {
    const [query, key] = ["layers.0.attention.query", "layers.0.attention.key"];
    const check = against({ ...model, [query]: model[key]!, [key]: model[query]! })!;
    expect(check).toMatchObject({ verdict: "error", where: [query, key] });
    expect(check.remedy).toContain("were exchanged");
  });
  test("another shape, a missing one, one too many", () => {
    expect(against({ ...model, head: { ...model["head"]!, shape: [V, C] } })!.measured).toContain(
      "[9, 6] here, [6, 9]",
    );
    expect(against(without("head"))).toMatchObject({ verdict: "error", where: ["head"] });
    expect(against(without("head"))!.measured).toContain("head: missing in this file");
    const more = against({ ...model, "layers.0.attention.bias": { shape: [C], data: draw(C) } })!;
    expect(more.measured).toContain("layers.0.attention.bias: missing in the other file");
  });
});

test("an output matrix that is the embedding again may be in one file only", () => {
  const { head: _, ...tied } = model;
  const twice = { ...tied, "lm_head.weight": model["embedding"]! };
  for (const check of [against(twice, write(tied)), against(tied, write(twice))]) {
    expect(check).toMatchObject({ verdict: "good" });
    expect(check!.measured).toContain("lm_head.weight, which only one file has, is its embedding again");
  }
  const other = { ...twice, "lm_head.weight": { shape: [V, C], data: draw(V * C) } };
  expect(against(other, write(tied))).toMatchObject({ verdict: "error", where: ["lm_head.weight"] });
});

test("rounding to 16 bits is a warning that names the type", () => {
  const half = against({ ...model, head: { ...model["head"]!, dtype: "BF16" } })!;
  expect(half).toMatchObject({ verdict: "warning", where: ["head"] });
  expect(half.measured).toContain("truncation to bfloat16");
  const near = { ...model, head: { ...model["head"]!, data: model["head"]!.data.map((value) => value * 1.003) } };
  const cut = write({ ...model, head: { ...model["head"]!, dtype: "BF16" } });
  expect(against(near, cut)).toMatchObject({ verdict: "error", where: ["head"] });
});

test("names of another program, and types that cannot be read, are said not to be compared", () => {
  const renamed = Object.fromEntries(
    Object.entries(model).map(([name, stored]) => [name.includes("connection") ? name : `their_${name}`, stored]),
  );
  expect(against(renamed)).toMatchObject({ verdict: "undecided" });
  expect(against(renamed)!.measured).toMatch(/^5 tensors of this file and 5 of the other were not compared/);
  const wide = against({ ...model, head: { ...model["head"]!, dtype: "F64" } })!;
  expect(wide).toMatchObject({ verdict: "undecided" });
  expect(wide.measured).toMatch(/^4 tensors/);
  expect(wide.measured).toContain("head (F64 here, F32 there)");
});

test("names are matched where a known prefix leaves no choice", () => {
  expect(matchNames(["model.a", "b"], ["a", "module.model.b", "c"])).toEqual({
    pairs: [
      ["model.a", "a"],
      ["b", "module.model.b"],
    ],
    onlyHere: [],
    onlyThere: ["c"],
  });
  expect(matchNames(["model.a", "decoder.a"], ["a"])).toEqual({
    pairs: [],
    onlyHere: ["model.a", "decoder.a"],
    onlyThere: ["a"],
  });
});
