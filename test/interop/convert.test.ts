// Converting checkpoint files: the released names, 16-bit inputs, what passes through, what is refused.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { transposeRes } from "../../src/connections/conventions/convert.ts";
import { conventionKey, convertFile } from "../../src/interop/convert.ts";
import { connectionTensorName, findConnections, namings } from "../../src/interop/connection-names.ts";
import { openSafetensors, readSafetensors } from "../../src/files/safetensors.ts";
import { encodeHead } from "../../src/files/write-safetensors.ts";
import { lintFile } from "../../src/study/lint-file.ts";
import { normal, uniform } from "../ops/harness.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-convert-"));
afterAll(() => fs.rmSync(folder, { recursive: true }));
const at = (name: string): string => path.join(folder, name);

const [N, C] = [4, 6];
const M = N * N + 2 * N;

interface Part {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly raw: Uint8Array;
}

const floats = (name: string, shape: readonly number[], values: ArrayLike<number>): Part => ({
  name,
  dtype: "F32",
  shape,
  raw: new Uint8Array(Float32Array.from(values).buffer),
});
/** The upper halves of floats. */
const halves = (name: string, shape: readonly number[], values: ArrayLike<number>): Part => ({
  name,
  dtype: "BF16",
  shape,
  raw: new Uint8Array(
    Uint16Array.from(new Uint32Array(Float32Array.from(values).buffer), (bits) => bits >>> 16).buffer,
  ),
});

function writeParts(file: string, parts: readonly Part[], metadata: Record<string, string> = {}): string {
  const head = encodeHead(
    parts.map((part) => ({ ...part, bytes: part.raw.length })),
    metadata,
  );
  fs.writeFileSync(at(file), Buffer.concat([head, ...parts.map(({ raw }) => raw)]));
  return at(file);
}

const random = uniform(8);
const draw = (length: number, deviation: number): Float32Array =>
  Float32Array.from({ length }, () => deviation * normal(random));

/** Two layers and a block of multi-token prediction, as released; other tensors in dtypes that are not read here. */
function released(make = floats): Part[] {
  const connection = (prefix: string): Part[] => [
    make(`${prefix}_fn`, [M, N * C], draw(M * N * C, 0.2)),
    make(`${prefix}_scale`, [3], [0.6, 0.4, 0.7]),
    make(`${prefix}_base`, [M], draw(M, 0.6)),
  ];
  const layer = (prefix: string): Part[] => [
    ...connection(`${prefix}.hc_attn`),
    {
      name: `${prefix}.ffn.experts.0.w1.weight`,
      dtype: "F8_E4M3",
      shape: [5, 3],
      raw: Uint8Array.from({ length: 15 }, (_, i) => 17 * i),
    },
    { name: `${prefix}.ffn.experts.0.w1.scale`, dtype: "F8_E8M0", shape: [1], raw: Uint8Array.of(127) },
    ...connection(`${prefix}.hc_ffn`),
  ];
  return [
    halves("embed.weight", [7, C], draw(7 * C, 1)),
    ...layer("layers.0"),
    ...layer("layers.1"),
    ...layer("mtp.0"),
    make("hc_head_fn", [N, N * C], draw(N * N * C, 0.2)),
    make("hc_head_scale", [1], [0.5]),
    make("hc_head_base", [N], draw(N, 1)),
  ];
}

describe("deepseek-v4 to paper and back", () => {
  const input = writeParts("released.safetensors", released(), { format: "pt" });
  const ours = at("ours.safetensors");
  const report = convertFile(input, ours, { from: "deepseek-v4", to: "paper" });

  test("what was done, and the measured error", () => {
    expect(report.converted.map(({ name }) => name)).toEqual([
      "layers.0.attention.connection",
      "layers.0.feedForward.connection",
      "layers.1.attention.connection",
      "layers.1.feedForward.connection",
      "mtp.0.attention.connection",
      "mtp.0.feedForward.connection",
      "ending",
    ]);
    expect(report.passed).toBe(7);
    expect(report.agreement).toBe("epsilons");
    expect(report.difference.coefficients).toBeGreaterThan(1e-7);
    expect(report.difference.coefficients).toBeLessThan(1e-4);
    expect(report.difference.output).toBeLessThan(1e-3);
  });
  test("res is transposed in φ and bias, under this library's names; the rest is as it was", () => {
    const [before, after] = [readable(input), readable(ours)];
    for (const [theirs, mine] of [
      ["layers.0.hc_attn", "layers.0.attention"],
      ["mtp.0.hc_ffn", "mtp.0.feedForward"],
    ]) {
      const value = (part: string) => before.get(`${theirs}_${part}`)!;
      expect(after.get(`${mine}.connection.phi`)!.data).toEqual(transposeRes(value("fn")).data);
      expect(after.get(`${mine}.connection.bias`)!.data).toEqual(transposeRes(value("base")).data);
      expect(after.get(`${mine}.connection.alpha`)!.data).toEqual(value("scale").data);
    }
    expect(after.get("ending.phi")!.data).toEqual(before.get("hc_head_fn")!.data);
    expect(rawOf(ours, "layers.1.ffn.experts.0.w1.weight")).toEqual(rawOf(input, "layers.1.ffn.experts.0.w1.weight"));
    expect(rawOf(ours, "embed.weight")).toEqual(rawOf(input, "embed.weight"));
    expect(metadataOf(ours)).toEqual({ format: "pt", [conventionKey]: "paper" });
  });
  test("there and back every byte of every tensor is the same, and their order", () => {
    const back = at("back.safetensors");
    convertFile(ours, back, { from: "paper", to: "deepseek-v4" });
    const [before, after] = [input, back].map((file) => {
      const opened = openSafetensors(file);
      const tensors = opened.tensors;
      opened.close();
      return tensors;
    });
    expect(after).toEqual(before);
    for (const { name } of before!) expect(rawOf(back, name), name).toEqual(rawOf(input, name));
  });
  test("Hugging Face's names", () => {
    const theirs = at("transformers.safetensors");
    convertFile(input, theirs, { from: "deepseek-v4", to: "deepseek-v4", names: "transformers" });
    const opened = openSafetensors(theirs);
    opened.close();
    const names = opened.tensors.map(({ name }) => name);
    expect(names).toContain("layers.1.ffn_hc.scale");
    expect(names).toContain("hc_head.hc_base");
    const again = at("again.safetensors");
    convertFile(theirs, again, { from: "deepseek-v4", to: "deepseek-v4" });
    expect(rawOf(again, "layers.1.hc_ffn_base")).toEqual(rawOf(input, "layers.1.hc_ffn_base"));
  });
  test("bfloat16 connections are widened", () => {
    const half = writeParts("half.safetensors", released(halves));
    const out = at("half-out.safetensors");
    convertFile(half, out, { from: "deepseek-v4", to: "paper" });
    const [before, after] = [readable(half), readable(out)];
    expect(after.get("layers.0.attention.connection.bias")).toMatchObject({
      dtype: "F32",
      data: transposeRes(before.get("layers.0.hc_attn_base")!).data,
    });
  });
  test("the lint finds nothing wrong with either, and the one against the other agrees", () => {
    for (const [file, against] of [
      [input, ours],
      [ours, input],
    ] as const) {
      const { checks } = lintFile(file, { against });
      expect(checks.filter(({ verdict }) => verdict === "error")).toEqual([]);
      expect(checks.at(-1)).toMatchObject({ name: "against the other file", verdict: "good" });
    }
  });
});

describe("refused, and nothing is written", () => {
  const input = writeParts("refused.safetensors", released());
  const out = at("never.safetensors");
  const refused = (action: () => unknown, reason: RegExp): void => {
    expect(action).toThrow(reason);
    expect(fs.existsSync(out)).toBe(false);
    expect(fs.readdirSync(folder).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  };
  test("what cannot be expressed", () => {
    refused(() => convertFile(input, out, { from: "deepseek-v4", to: "deepseek-v4.1" }), /reads with/);
    refused(() => convertFile(input, out, { from: "deepseek-v4", to: "megatron" }), /ending: The learned end/);
    refused(() => convertFile(input, out, { from: "deepseek-v4", to: "hc-dynamic" }), /H_res unbounded/);
  });
  test("what is further apart than the tolerance", () => {
    refused(
      () => convertFile(input, out, { from: "deepseek-v4", to: "paper", tolerance: 1e-9 }),
      /more than the tolerance 1e-9/,
    );
  });
  test("another convention than the file says", () => {
    const marked = writeParts("marked.safetensors", released(), { [conventionKey]: "deepseek-v4.1" });
    refused(() => convertFile(marked, out, { from: "deepseek-v4", to: "paper" }), /--from deepseek-v4\.1/);
  });
  test("a file onto itself, a file without connections, half a connection", () => {
    expect(() => convertFile(input, input, { from: "deepseek-v4", to: "paper" })).toThrow(/is the input/);
    const plain = writeParts("plain.safetensors", [floats("head", [2], [1, 2])]);
    refused(() => convertFile(plain, out, { from: "deepseek-v4", to: "paper" }), /has no connections/);
    const half = writeParts(
      "partial.safetensors",
      released().filter(({ name }) => name !== "layers.1.hc_ffn_base"),
    );
    refused(
      () => convertFile(half, out, { from: "deepseek-v4", to: "paper" }),
      /layers\.1\.feedForward\.connection .*no bias/,
    );
  });
  test("values that are not finite", () => {
    const broken = writeParts(
      "broken.safetensors",
      released().map((part) => (part.name === "layers.0.hc_ffn_base" ? floats(part.name, [M], draw(M, NaN)) : part)),
    );
    refused(() => convertFile(broken, out, { from: "deepseek-v4", to: "paper" }), /not finite/);
  });
  test("shapes that are no connection", () => {
    const wrong = writeParts(
      "wrong.safetensors",
      released().map((part) => (part.name === "layers.0.hc_ffn_fn" ? { ...part, shape: [12, 48] } : part)),
    );
    refused(() => convertFile(wrong, out, { from: "deepseek-v4", to: "paper" }), /phi \[12, 48\]/);
  });
});

test("names go round", () => {
  const parts = ["phi", "alpha", "bias"];
  for (const naming of namings) {
    for (const connection of [
      "layers.7.attention.connection",
      "model.layers.0.feedForward.connection",
      "ending",
      "mtp.0.ending",
    ]) {
      const tensors = parts.map((part) => ({
        name: connectionTensorName(naming, connection, part),
        dtype: "F32",
        shape: [],
        bytes: 0,
      }));
      expect(findConnections(tensors)).toEqual([
        {
          name: connection,
          naming,
          kind: connection.endsWith("ending") ? "ending" : "sublayer",
          tensors: Object.fromEntries(parts.map((part, index) => [part, tensors[index]!.name])),
        },
      ]);
    }
  }
  expect(() => connectionTensorName("deepseek", "layers.0.attention.connection", "theta")).toThrow(/only HC has/);
});

function readable(file: string) {
  const opened = openSafetensors(file);
  const tensors = new Map(
    opened.tensors.filter(({ dtype }) => !dtype.startsWith("F8")).map(({ name }) => [name, opened.read(name)]),
  );
  opened.close();
  return tensors;
}

function rawOf(file: string, name: string): Buffer {
  const opened = openSafetensors(file);
  const bytes = Buffer.concat([...opened.bytes(name)]);
  opened.close();
  return bytes;
}

function metadataOf(file: string): Readonly<Record<string, string>> {
  const { metadata, close } = openSafetensors(file);
  close();
  return metadata;
}

test("a tensor of an unknown dtype is passed on but not read", () => {
  const file = writeParts("unknown.safetensors", released());
  expect(() => readSafetensors(file)).toThrow(/F8_E4M3.*can be read/);
});
