// `birkhoff convert` and `birkhoff lint` on a run of the smallest model: to DeepSeek's form and back, and
// every way to break it.

import fs from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readSafetensors } from "../../src/files/safetensors.ts";
import { encodeSafetensors } from "../../src/files/write-safetensors.ts";
import { type Layout, misplaced } from "../../src/study/lint-reference.ts";
import { makeWorkplace, run, tiny } from "./cli.ts";

const place = makeWorkplace();
afterAll(() => place.remove());
const model = "runs/it/checkpoints/step-800/model.safetensors";

beforeAll(async () => {
  const steps = ["--steps", "800", "--evaluate-every", "800", "--checkpoint-every", "800", "--learning-rate", "0.02"];
  const { code, stderr } = await run(place.folder, [
    "train",
    "--data",
    "text.txt",
    "--out",
    "runs/it",
    ...tiny,
    ...steps,
  ]);
  expect(code, stderr).toBe(0);
}, 60_000);

/** The model with every connection's weights changed. */
function broken(name: string, change: (data: Float32Array, part: string, index: number) => Float32Array): string {
  const { tensors } = readSafetensors(place.at(model));
  let index = 0;
  const changed = [...tensors].map(([tensor, { shape, data }]) => {
    const part = /connection\.(\w+)$/.exec(tensor)?.[1];
    return { name: tensor, shape, data: part ? change(data as Float32Array, part, index++) : data };
  });
  fs.writeFileSync(place.at(name), Buffer.concat(encodeSafetensors(changed)));
  return name;
}

function wrongly(name: string, layout: Layout): string {
  const { tensors } = readSafetensors(place.at(model));
  const changed = [...tensors].map(([tensor, { shape, data }]) => {
    const [, own, part] = /^(.*connection)\.(phi|bias)$/.exec(tensor) ?? [];
    if (own === undefined) return { name: tensor, shape, data };
    const weights = { phi: tensors.get(`${own}.phi`)!, bias: tensors.get(`${own}.bias`)! };
    return { name: tensor, shape, data: Float32Array.from(misplaced(layout, weights)[part!]!.data) };
  });
  fs.writeFileSync(place.at(name), Buffer.concat(encodeSafetensors(changed)));
  return name;
}

interface Report {
  readonly checks: readonly { readonly name: string; readonly verdict: string; readonly measured: string }[];
}

async function lint(...args: string[]): Promise<{ code: number | null; report: Report }> {
  const { code, stdout, stderr } = await run(place.folder, ["lint", ...args, "--json"]);
  expect(stdout, stderr).not.toBe("");
  return { code, report: JSON.parse(stdout) as Report };
}

const errors = ({ checks }: Report): string[] =>
  checks.filter(({ verdict }) => verdict === "error").map(({ name }) => name);

describe("convert", () => {
  test("to deepseek-v4 and back: the same tensors, and a measured error", async () => {
    const there = await run(place.folder, [
      "convert",
      model,
      "v4.safetensors",
      "--from",
      "paper",
      "--to",
      "deepseek-v4",
    ]);
    expect(there.code, there.stderr).toBe(0);
    expect(there.stdout).toContain("paper to deepseek-v4: 5 connections converted");
    expect(there.stdout).toMatch(/layers\.1\.feedForward\.connection +\d\.\de-\d/);
    const names = [...readSafetensors(place.at("v4.safetensors")).tensors.keys()];
    expect(names).toContain("layers.0.hc_attn_fn");
    expect(names).toContain("hc_head_base");
    const back = await run(place.folder, [
      "convert",
      "v4.safetensors",
      "back.safetensors",
      "--from",
      "deepseek-v4",
      "--to",
      "paper",
      "--json",
    ]);
    expect(back.code, back.stderr).toBe(0);
    expect(JSON.parse(back.stdout)).toMatchObject({ agreement: "epsilons", output: "back.safetensors" });
    const [before, after] = [model, "back.safetensors"].map((file) => readSafetensors(place.at(file)).tensors);
    expect([...after!]).toEqual([...before!]);
  });
  test("leaves a file that is there already alone, also behind a link", async () => {
    const convert = (input: string, output: string, ...more: string[]) =>
      run(place.folder, ["convert", input, output, "--from", "paper", "--to", "deepseek-v4", ...more]);
    fs.writeFileSync(place.at("precious.txt"), "precious");
    const refused = await convert(model, "precious.txt");
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("--overwrite")]);
    expect(fs.readFileSync(place.at("precious.txt"), "utf8")).toBe("precious");
    fs.copyFileSync(place.at(model), place.at("copy.safetensors"));
    fs.symlinkSync(place.at("copy.safetensors"), place.at("link.safetensors"));
    const itself = await convert("link.safetensors", "copy.safetensors", "--overwrite");
    expect([itself.code, itself.stderr]).toEqual([1, expect.stringContaining("is the input")]);
    expect(fs.readFileSync(place.at("copy.safetensors"))).toEqual(fs.readFileSync(place.at(model)));
  });
  test("a run folder says its convention, its iterations and its end", async () => {
    const { code, stderr, stdout } = await run(place.folder, [
      "convert",
      "runs/it",
      "of-run.safetensors",
      "--to",
      "deepseek-v4",
    ]);
    expect(code, stderr).toBe(0);
    expect(stdout).toContain("paper to deepseek-v4: 5 connections converted");
    expect((await lint("of-run.safetensors", "--against", "runs/it")).code).toBe(0);
    // What was converted says its convention, too.
    const back = await run(place.folder, ["convert", "of-run.safetensors", "run-back.safetensors", "--to", "paper"]);
    expect(back.code, back.stderr).toBe(0);
    const [before, after] = [model, "run-back.safetensors"].map((file) => readSafetensors(place.at(file)).tensors);
    expect([...after!]).toEqual([...before!]);
    for (const [input, says] of [
      ["runs/it --to mhc", /runs\/it is no residual run, which does not go with --to mhc/],
      ["runs/it --to paper --from liger", /is in the convention paper, as the run's configuration says/],
      [`runs/it ${model} --to liger --overwrite`, /is the run's checkpoint/],
      [`${model} --to liger`, /does not say its convention: give it with --from/],
    ] as const) {
      const [from, ...rest] = input.split(" ");
      const output = rest[0]!.startsWith("--") ? ["never.safetensors"] : [];
      const refused = await run(place.folder, ["convert", from!, ...output, ...rest]);
      expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(says)]);
    }
  });
  test("a run whose streams end by their sum gets no end of their mean", async () => {
    fs.cpSync(place.at("runs/it"), place.at("runs/sum"), { recursive: true });
    const config = JSON.parse(fs.readFileSync(place.at("runs/it/config.json"), "utf8"));
    config.config.model.connection.collapse = "sum";
    fs.writeFileSync(place.at("runs/sum/config.json"), JSON.stringify(config));
    const refused = await run(place.folder, ["convert", "runs/sum", "never.safetensors", "--to", "deepseek-v4"]);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(/ends its streams by their sum/)]);
    const liger = await run(place.folder, [
      "convert",
      "runs/sum",
      "liger.safetensors",
      "--to",
      "liger",
      "--tolerance",
      "1",
    ]);
    expect(liger.code, liger.stderr).toBe(0);
  });
  test("refusals are one line and exit code 1, and write nothing", async () => {
    const { code, stderr } = await run(place.folder, [
      "convert",
      model,
      "no.safetensors",
      "--from",
      "paper",
      "--to",
      "hc-dynamic",
    ]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^birkhoff: paper cannot be written as hc-dynamic: .*\n$/);
    expect(fs.existsSync(place.at("no.safetensors"))).toBe(false);
  });
});

describe("lint", () => {
  test("a healthy run: no error, and its text says which way its maps stand", async () => {
    const { code, report } = await lint("runs/it");
    expect(errors(report)).toEqual([]);
    expect(code).toBe(0);
    expect(report.checks.at(-1)).toMatchObject({ name: "orientation by the loss", verdict: "good" });
    const text = await run(place.folder, ["lint", "runs/it"]);
    expect(text.stdout).toContain("4 connections, paper");
    expect(text.stdout).toMatch(/0 errors, \d warnings/);
  });
  test("transposed: found by the text, and by the original", async () => {
    const file = wrongly("transposed.safetensors", "transposed in φ and bias");
    const { code, report } = await lint(file, "--run", "runs/it", "--against", "runs/it");
    expect(code).toBe(1);
    expect(errors(report)).toEqual(["against the other file", "orientation by the loss"]);
  });
  test("mis-sliced: found alone", async () => {
    const { code, report } = await lint(wrongly("sliced.safetensors", "sliced pre | res | post"));
    expect(code).toBe(1);
    expect(errors(report)).toEqual(["slices"]);
  });
  test("saturated and NaN", async () => {
    const saturated = broken("saturated.safetensors", (data, part) =>
      part === "bias" ? data.map((value, m) => (m < 8 ? value : (m - 8) % 5 === 0 ? 60 : 0)) : data,
    );
    expect(errors((await lint(saturated)).report)).toEqual(["saturated"]);
    const nan = broken("nan.safetensors", (data, part, index) =>
      part === "phi" && index < 3 ? data.map((value, k) => (k === 7 ? NaN : value)) : data,
    );
    const { report } = await lint(nan);
    expect(errors(report)).toEqual(["finite"]);
    expect(report.checks.find(({ name }) => name === "finite")!.measured).toContain("phi holds NaN at 7");
  });
  test("a file that is none", async () => {
    const { code, stderr } = await run(place.folder, ["lint", "text.txt"]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^birkhoff: text\.txt is not a sound safetensors file/);
  });
});
