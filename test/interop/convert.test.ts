// Converting checkpoint files: the released names, 16-bit inputs, what passes through, what is refused.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { transposeRes } from "../../src/connections/conventions/convert.ts";
import { conventionKey, convertFile } from "../../src/interop/convert.ts";
import { writeFolder } from "../../src/interop/convert-write.ts";
import { connectionTensorName, findConnections, namings } from "../../src/interop/connection-names.ts";
import { openSafetensors, readSafetensors } from "../../src/files/safetensors.ts";
import { encodeHead } from "../../src/files/write-safetensors.ts";
import { fileURLToPath } from "node:url";
import { mhcConventionNames } from "../../src/connections/conventions/table.ts";
import { indexName, openShards } from "../../src/files/shards.ts";
import { inspectFile } from "../../src/study/inspect.ts";
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

  test("what a killed conversion left beside the file is removed, and nothing else", () => {
    const out = at("swept.safetensors");
    for (const name of ["swept.safetensors.999999999.tmp", "other.999999999.tmp"]) fs.writeFileSync(at(name), "half");
    convertFile(input, out, { from: "deepseek-v4", to: "paper" });
    expect(fs.existsSync(at("swept.safetensors.999999999.tmp"))).toBe(false);
    expect(fs.existsSync(at("other.999999999.tmp"))).toBe(true);
    fs.rmSync(at("other.999999999.tmp"));
  });
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
      expect(checks.slice(-2).map(({ name, verdict }) => [name, verdict])).toEqual([
        ["against the other file", "good"],
        ["other tensors", "good"],
      ]);
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

describe("several files", () => {
  const cut = (
    name: string,
    parts: readonly Part[],
    files: readonly (readonly [string, (part: Part) => boolean])[],
  ) => {
    fs.mkdirSync(at(name), { recursive: true });
    const weight_map: Record<string, string> = {};
    for (const [file, holds] of files) {
      const own = parts.filter(holds);
      writeParts(path.join(name, file), own);
      for (const part of own) weight_map[part.name] = file;
    }
    fs.writeFileSync(at(path.join(name, indexName)), JSON.stringify({ weight_map }));
    return at(name);
  };
  const ours = [...readable(convertedOnce()).entries()].map(([name, { shape, data }]) => floats(name, shape, data));
  const isEnd = ({ name }: Part): boolean => name.startsWith("ending");
  const shard = (i: number): string => `model-0000${i}-of-00003.safetensors`;
  // The first connection lies in two files.
  const inFirst = ({ name }: Part): boolean => name.includes("layers.0") && !name.endsWith("attention.connection.bias");
  const files = [
    [shard(1), inFirst],
    [shard(2), (part: Part) => !inFirst(part) && !isEnd(part)],
    [shard(3), isEnd],
  ] as const;

  test("a folder is converted to a folder with an index, and back", () => {
    const input = cut("cut", ours, files);
    const report = convertFile(input, at("cut-v4"), { from: "paper", to: "deepseek-v4" });
    expect(report.converted).toHaveLength(7);
    const index = JSON.parse(fs.readFileSync(at(path.join("cut-v4", indexName)), "utf8"));
    expect(index.weight_map.hc_head_fn).toBe(shard(3));
    expect(index.weight_map["layers.0.hc_attn_base"]).toBe(shard(1));
    expect(Object.values(index.weight_map).filter((name) => name === shard(3))).toHaveLength(3);
    convertFile(at("cut-v4"), at("cut-back"), { from: "deepseek-v4", to: "paper" });
    const opened = openShards(at("cut-back"));
    for (const { name, raw } of ours) expect(Buffer.concat([...opened.bytes(name)]), name).toEqual(Buffer.from(raw));
    opened.close();
    expect(lintFile(at("cut-v4"), { against: input }).checks.at(-1)).toMatchObject({ verdict: "good" });
  });
  test("a checkpoint in the output folder is replaced only where that is asked for", () => {
    const to = { from: "paper", to: "deepseek-v4" } as const;
    const out = at("replaced");
    convertFile(cut("three", ours, files), out, to);
    fs.writeFileSync(path.join(out, "config.json"), "{}");
    fs.mkdirSync(path.join(out, "converted.999999999.tmp"));
    fs.writeFileSync(path.join(out, "converted.999999999.tmp", shard(1)), "half");
    const two = cut("two", ours, [
      ["model-00001-of-00002.safetensors", inFirst],
      ["model-00002-of-00002.safetensors", (part: Part) => !inFirst(part)],
    ]);
    expect(() => convertFile(two, out, to)).toThrow(/holds model-00001-of-00003.*--overwrite/);
    convertFile(two, out, { ...to, overwrite: true });
    expect(fs.readdirSync(out).sort()).toEqual([
      "config.json",
      "model-00001-of-00002.safetensors",
      "model-00002-of-00002.safetensors",
      indexName,
    ]);
    expect(lintFile(out, { against: two }).checks.at(-1)).toMatchObject({ verdict: "good" });
    const run = at("run");
    fs.mkdirSync(path.join(run, "checkpoints"), { recursive: true });
    expect(() => convertFile(two, run, { ...to, overwrite: true })).toThrow(/is a run folder/);
  });
  test("a folder that cannot be written whole leaves the older checkpoint as it was", () => {
    const out = cut("kept", ours, files);
    const before = fs.readdirSync(out).map((name) => [name, fs.readFileSync(path.join(out, name), "hex")]);
    const opened = openShards(out);
    const failing = {
      ...opened,
      bytes(name: string) {
        if (name.startsWith("ending")) throw new Error("it became shorter while it was read");
        return opened.bytes(name);
      },
    };
    const shards = opened.shards.map((each) => ({
      ...each,
      tensors: each.tensors.map((tensor) => ({ ...tensor, source: tensor.name })),
    }));
    expect(() => writeFolder(out, shards, failing, () => {})).toThrow(/became shorter/);
    opened.close();
    expect(fs.readdirSync(out).map((name) => [name, fs.readFileSync(path.join(out, name), "hex")])).toEqual(before);
  });
  test("no end is made where the file may be a part, and a file with the end alone is converted", () => {
    const to = { from: "paper", to: "deepseek-v4" } as const;
    const whole = ours.filter((part) => !isEnd(part));
    const [norm, head] = [floats("norm", [C], draw(C, 1)), floats("head", [C, 2], draw(2 * C, 1))];
    const rename = (part: Part, name: string): Part => ({ ...part, name });
    for (const [name, parts] of [
      [shard(2), whole],
      ["late.safetensors", whole.filter(({ name }) => !name.includes("layers.0"))],
      ["half.safetensors", whole.filter(({ name }) => !name.includes("1.feedForward"))],
      ["bare.safetensors", whole],
      ["norm.safetensors", [...whole, norm]],
      ["head.safetensors", [...whole, head]],
      // The norms and outputs of layers are not the model's.
      [
        "inner.safetensors",
        [...whole, rename(norm, "layers.0.attention.norm"), rename(head, "layers.0.attention.output")],
      ],
    ] as const) {
      expect(() => convertFile(writeParts(name, parts), at("part-out"), to), name).toThrow(/may be a part of a model/);
      expect(fs.existsSync(at("part-out"))).toBe(false);
    }
    const last = convertFile(writeParts(shard(3), ours.filter(isEnd)), at("end-out"), to);
    expect(last.converted.map(({ name }) => name)).toEqual(["ending"]);
    expect(rawOf(at("end-out"), "hc_head_fn")).toEqual(
      Buffer.from(ours.find(({ name }) => name === "ending.phi")!.raw),
    );
    // The statement of the user, or a last norm and an output matrix, makes it a whole.
    expect(convertFile(at("bare.safetensors"), at("said"), { ...to, end: "mean" }).converted.at(-1)!.name).toMatch(
      /mean/,
    );
    for (const last of [head, rename(head, "model.embed_tokens.weight")]) {
      const file = writeParts("complete.safetensors", [...whole, norm, last]);
      expect(convertFile(file, at("normed"), to).converted.at(-1)!.name).toMatch(/mean/);
    }
  });
  test("an index of another name is the folder's index, and may be given itself", () => {
    const to = { from: "paper", to: "deepseek-v4" } as const;
    const named = "consolidated.safetensors.index.json";
    const folder = cut("named", ours, [
      ["consolidated.00.safetensors", (part) => !isEnd(part)],
      ["consolidated.01.safetensors", isEnd],
    ]);
    const usual = convertFile(path.join(folder, indexName), at("by-index"), to).converted;
    expect(fs.readdirSync(at("by-index")).sort()).toEqual([
      "consolidated.00.safetensors",
      "consolidated.01.safetensors",
      indexName,
    ]);
    fs.renameSync(path.join(folder, indexName), path.join(folder, named));
    expect(convertFile(folder, at("by-other-index"), to).converted).toEqual(usual);
    expect(usual.at(-1)!.name).toBe("ending");
    expect(lintFile(path.join(folder, named)).checks.every(({ verdict }) => verdict !== "error")).toBe(true);
    expect(lintFile(path.join(folder, "consolidated.00.safetensors")).skipped[0]).toContain("lists it as one of 2");
    fs.rmSync(path.join(folder, named));
    expect(() => lintFile(folder)).toThrow(/names do not say how many files there are: .*model-00001-of-00002/);
  });
  test("files beside it show that a file is a part: a series of names, an index, shards", () => {
    const to = { from: "paper", to: "deepseek-v4" } as const;
    const [norm, head] = [floats("norm", [C], draw(C, 1)), floats("head", [C, 2], draw(2 * C, 1))];
    const first = [...ours.filter((part) => !isEnd(part)), norm, head];
    for (const [name, other] of [
      ["consolidated.00", "consolidated.01"],
      ["model-1", "model-2"],
      ["model.part1", "model.part2"],
      ["shard_0", "shard_1"],
      ["model", "model-00002-of-00002"],
    ]) {
      const place = `series-${name}`;
      fs.mkdirSync(at(place));
      const file = writeParts(path.join(place, `${name}.safetensors`), first);
      writeParts(path.join(place, `${other}.safetensors`), ours.filter(isEnd));
      expect(() => convertFile(file, at("series-out"), to), name).toThrow(
        `${other}.safetensors beside it holds other tensors`,
      );
      expect(lintFile(file).skipped[0]).toContain("beside it holds other tensors");
      expect(inspectFile(file).partOf).toContain("beside it holds other tensors");
    }
    // Two steps of one run, or a file and its conversion, are wholes.
    fs.mkdirSync(at("steps"));
    const step = writeParts("steps/step-1.safetensors", first);
    writeParts("steps/step-2.safetensors", first);
    expect(convertFile(step, at("steps/step-3.safetensors"), to).converted.at(-1)!.name).toMatch(/mean/);
    fs.rmSync(at("steps/step-2.safetensors"));
    expect(lintFile(step, { against: at("steps/step-3.safetensors") }).checks.at(-1)!.verdict).toBe("good");
    expect(inspectFile(step).partOf).toBeUndefined();
  });
  test("one file beside an index or shards with other tensors is two checkpoints", () => {
    const both = cut("both", ours, files);
    const single = writeParts("both/model.safetensors", ours.filter(inFirst));
    for (const read of [
      () => convertFile(both, at("both-out"), { from: "paper", to: "deepseek-v4" }),
      () => lintFile(both),
      () => inspectFile(both),
    ])
      expect(read).toThrow(
        /two checkpoints: model\.safetensors\.index\.json lists \d+ tensors that model\.safetensors lacks/,
      );
    expect(lintFile(single).skipped[0]).toMatch(/lists \d+ tensors that it lacks/);
    fs.rmSync(path.join(both, indexName));
    expect(() => lintFile(both)).toThrow(/two checkpoints: 3 files such as model-00001/);
    writeParts("both/model.safetensors", ours);
    expect(lintFile(both).checks[0]).toMatchObject({ verdict: "good" });
  });
  test("a folder of odd names is told the same by all", () => {
    fs.mkdirSync(at("odd"));
    for (const name of ["a", "b"]) writeParts(`odd/${name}.safetensors`, ours.filter(isEnd));
    for (const read of [
      () => convertFile(at("odd"), at("odd-out"), { from: "paper", to: "deepseek-v4" }),
      () => lintFile(at("odd")),
      () => inspectFile(at("odd")),
    ])
      expect(read).toThrow(
        /has neither .* it holds a\.safetensors, b\.safetensors\. Their names do not say how many files there are/,
      );
  });
  test("a file that is missing, a tensor in two files, an index that is wrong", () => {
    const lost = cut("lost", ours, files);
    fs.rmSync(path.join(lost, shard(2)));
    expect(() => lintFile(lost)).toThrow(/has 2 of the 3 files.*00002.*fetch the rest/);
    fs.symlinkSync("nowhere", path.join(lost, shard(2)));
    expect(() => lintFile(lost)).toThrow(/has 2 of the 3 files.*00002.*fetch the rest/);
    fs.rmSync(path.join(lost, shard(2)));
    fs.rmSync(path.join(lost, indexName));
    expect(() => lintFile(lost)).toThrow(/has 2 of 3 files.*number 2 is missing/);
    const twice = cut("twice", ours, [...files, ["more.safetensors", isEnd]]);
    const index = path.join(twice, indexName);
    const { weight_map } = JSON.parse(fs.readFileSync(index, "utf8"));
    fs.writeFileSync(index, JSON.stringify({ weight_map: { ...weight_map, "ending.phi": shard(3) } }));
    expect(() => lintFile(twice)).toThrow(/ending\.\w+ is in .* and in/);
    const wrong = cut("wrong-index", ours, files);
    fs.writeFileSync(
      path.join(wrong, indexName),
      JSON.stringify({
        weight_map: {
          ...weight_map,
          none: shard(1),
          "ending.phi": shard(3),
          "ending.alpha": shard(3),
          "ending.bias": shard(3),
        },
      }),
    );
    expect(() => lintFile(wrong)).toThrow(/has no tensor none, though/);
    // Without an index, a complete set is read all the same.
    const bare = cut("no-index", ours, files);
    fs.rmSync(path.join(bare, indexName));
    expect(lintFile(bare).checks[0]).toMatchObject({ verdict: "good" });
    expect(lintFile(path.join(bare, shard(3))).skipped[0]).toMatch(/file 3 of 3/);
    expect(() => lintFile(bare, { against: path.join(bare, shard(3)) })).toThrow(/may be a part/);
  });
});

/** The released file in the paper's convention. */
function convertedOnce(): string {
  const input = writeParts(
    "once.safetensors",
    released().filter(({ dtype }) => dtype === "F32"),
  );
  convertFile(input, at("once-ours.safetensors"), { from: "deepseek-v4", to: "paper" });
  return at("once-ours.safetensors");
}

test("every convention is written under every naming that has its parts, and read again", () => {
  const input = convertedOnce();
  const plain = writeParts(
    "plain-mean.safetensors",
    [...readable(input)]
      .filter(([name]) => !name.startsWith("ending"))
      .map(([name, { shape, data }]) => floats(name, shape, data)),
  );
  for (const to of mhcConventionNames.filter((name) => name !== "deepseek-v4.1"))
    for (const names of [undefined, ...namings]) {
      const [there, back] = [at(`${to}-${names}.safetensors`), at(`${to}-${names}-back.safetensors`)];
      convertFile(plain, there, { from: "paper", to, end: "mean", tolerance: 1, ...(names ? { names } : {}) });
      const { conventions, checks } = lintFile(there);
      expect(Object.values(conventions)).toEqual(Array(6).fill(to));
      expect(checks[0]!.verdict).toBe("good");
      convertFile(there, back, { from: to, to: "paper", tolerance: 1 });
      for (const { name } of ours(plain))
        expect(rawOf(back, name), `${to} ${names} ${name}`).toEqual(rawOf(plain, name));
    }
});

const ours = (file: string) => {
  const { tensors, close } = openSafetensors(file);
  close();
  return tensors;
};

test("the files of Liger and Megatron as those libraries write them", () => {
  const handed = new URL("../fixtures/connections/", import.meta.url);
  for (const name of ["liger", "megatron"] as const) {
    const file = fileURLToPath(new URL(`${name}.safetensors`, handed));
    const { conventions, checks } = lintFile(file);
    expect(Object.values(conventions)).toEqual([name]);
    expect(checks.filter(({ verdict }) => verdict === "error")).toEqual([]);
    const out = at(`${name}-paper.safetensors`);
    convertFile(file, out, { from: name, to: "paper" });
    expect([...readable(out).values()].map(({ shape }) => shape.join()).sort()).toEqual(["24", "24,32", "3"]);
    const back = at(`${name}-back.safetensors`);
    convertFile(out, back, { from: "paper", to: name });
    expect(lintFile(back, { against: file }).checks.at(-1)).toMatchObject({ verdict: "good" });
    for (const { name: tensor, shape } of ours(back)) {
      const same = ours(file).find(
        (each) => each.shape.join() === shape.join() && each.name.endsWith(tensor.split(".").at(-1)!),
      );
      expect(same?.name, tensor).toBe(tensor);
      expect(rawOf(back, tensor)).toEqual(rawOf(file, tensor));
    }
  }
});

test("names go round", () => {
  for (const naming of namings) {
    for (const connection of [
      "layers.7.attention.connection",
      "model.layers.0.feedForward.connection",
      "ending",
      "mtp.0.ending",
    ]) {
      const apart = /liger|megatron/.test(naming) && !connection.endsWith("ending");
      const parts = ["phi", ...(apart ? ["alphaPre", "alphaPost", "alphaRes"] : ["alpha"]), "bias"];
      const tensors = parts.map((part) => ({
        name: connectionTensorName(naming, connection, part),
        dtype: "F32",
        shape: [],
        bytes: 0,
      }));
      expect(findConnections(tensors)).toEqual([
        {
          name: connection,
          naming: connection.endsWith("ending") && naming.match(/liger|megatron/) ? "birkhoff" : naming,
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
