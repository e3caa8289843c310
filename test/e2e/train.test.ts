// `birkhoff train` on a person's own text: from a file, a folder or standard input;
// and every mistake answered by one line and exit code 1.

import fs from "node:fs";
import { afterAll, describe, expect, test } from "vitest";
import type { TrainingConfig } from "../../src/training/config.ts";
import { type Finished, losses, makeWorkplace, run, smallText, tiny, resultOf } from "./cli.ts";

const place = makeWorkplace();
afterAll(() => place.remove());

const quick = [...tiny, "--steps", "4", "--evaluate-every", "4", "--checkpoint-every", "4"];

describe("sources", () => {
  test("a file, a folder and standard input of the same text train the same model", async () => {
    fs.mkdirSync(place.at("folder"));
    fs.copyFileSync(place.at("text.txt"), place.at("folder", "text.txt"));
    const sources = ["text.txt", "folder", "-"];
    const results: Finished[] = [];
    for (const [index, source] of sources.entries()) {
      results.push(
        await run(place.folder, ["train", "--data", source, "--out", `runs/source-${index}`, "--json", ...quick], {
          input: fs.readFileSync(place.at("text.txt")),
        }),
      );
    }
    for (const { code, stderr } of results) expect(code, stderr).toBe(0);
    const [file, folder, input] = sources.map((_, index) => losses(place.at("runs", `source-${index}`)));
    expect(folder).toEqual(file);
    expect(input).toEqual(file);
    const [row] = results.map(({ stdout }) => resultOf(stdout));
    expect(row).toMatchObject({
      folder: "runs/source-0",
      stopped: false,
      name: "source-0",
      parameters: expect.any(Number),
      bitsPerByte: expect.any(Number),
    });
  });
  test("without --out a run is named after its data, preset and connection", async () => {
    const { code, stdout, stderr } = await run(place.folder, [
      "train",
      "--data",
      "text.txt",
      "--connection",
      "hc",
      "--streams",
      "2",
      ...quick,
    ]);
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/Saved in: runs\/text-nano-hc\n$/);
    // Its text goes on from the first words of the validation text.
    const [, prompt] = /prompt "(.+)"/.exec(fs.readFileSync(place.at("runs", "text-nano-hc", "samples.txt"), "utf8"))!;
    expect(prompt).toMatch(/^(\w+ ){3,4}\w+/);
    expect(fs.readFileSync(place.at("text.txt"), "utf8").slice(-6000)).toContain(prompt);
    expect(stdout).toContain(`\n\n${prompt}`);
  });
  test("runs that begin at one instant without --out go to folders of their own", async () => {
    const args = ["train", "--data", "text.txt", "--connection", "dense", "--json", ...quick];
    const results = await Promise.all([1, 2, 3].map(async () => await run(place.folder, args)));
    expect(results.map(({ code }) => code)).toEqual([0, 0, 0]);
    const rows = results.map(({ stdout }) => resultOf(stdout) as { folder: string; name: string });
    expect(rows.map(({ folder }) => folder).sort()).toEqual(
      ["", "-2", "-3"].map((end) => `runs/text-nano-dense${end}`),
    );
    for (const { folder, name } of rows) expect(folder).toBe(`runs/${name}`);
  });
});

test("a mixture of experts with latent attention is trained, inspected and writes", async () => {
  const small = [
    "kvHeads=2",
    "attention.rank=8",
    "attention.rotarySize=4",
    "attention.contentSize=6",
    "attention.valueSize=5",
    "feedForward.experts=4",
    "feedForward.active=2",
    "feedForward.hidden=8",
  ].flatMap((assignment) => ["--set", `model.${assignment}`]);
  const args = ["train", "--data", "text.txt", "--preset", "moe-nano", "--out", "runs/experts", ...quick, ...small];
  const trained = await run(place.folder, args);
  expect(trained.code, trained.stderr).toBe(0);
  const records = losses(place.at("runs", "experts")) as { expertLoad: number[][] }[];
  expect(records).toHaveLength(4);
  // One of the two layers is a mixture; 4 sequences of 12 tokens go to 2 experts each.
  for (const { expertLoad } of records)
    expect(expertLoad.map((load) => [load.length, load.reduce((a, b) => a + b, 0)])).toEqual([[4, 96]]);

  const inspected = await run(place.folder, ["inspect", "runs/experts", "--json"]);
  const { config, parameters, tensors } = JSON.parse(inspected.stdout) as {
    config: TrainingConfig;
    parameters: { total: number; active: number };
    tensors: { name: string; largest: number }[];
  };
  expect(config.optimizer).toMatchObject({ epsilon: 1e-20, beta2: 0.95, weightDecay: 0.1, schedule: { kind: "step" } });
  expect(parameters.total - parameters.active).toBe(2 * 3 * 16 * 8 + config.model.vocabulary * 16);
  const bias = tensors.find(({ name }) => name === "layers.1.feedForward.routerBias");
  expect(bias!.largest).toBeGreaterThan(0);
  expect((await run(place.folder, ["inspect", "runs/experts"])).stdout).toMatch(
    /active for a token\).*busiest expert/s,
  );
  const sample = ["sample", "runs/experts", "--tokens", "5", "--seed", "1"];
  const [first, again] = [await run(place.folder, sample), await run(place.folder, sample)];
  expect(first.code, first.stderr).toBe(0);
  expect(again.stdout).toBe(first.stdout);
});

test("--resume --steps trains a finished run on, and inspect shows what that changed", async () => {
  const trained = await run(place.folder, ["train", "--data", "text.txt", "--out", "runs/longer", ...quick]);
  expect(trained.code, trained.stderr).toBe(0);
  expect((await run(place.folder, ["inspect", "runs/longer"])).stdout).not.toContain("changed by a resume");
  const more = await run(place.folder, [
    "train",
    "--resume",
    "runs/longer",
    "--steps",
    "6",
    "--precision",
    "bfloat16",
    "--cache",
    "cache",
  ]);
  expect(more.code, more.stderr).toBe(0);
  expect(losses(place.at("runs", "longer"))).toHaveLength(6);
  const changed = "changed by a resume after step 4: steps from 4 to 6, precision";
  expect((await run(place.folder, ["inspect", "runs/longer"])).stdout).toContain(changed);
  const { changes } = JSON.parse((await run(place.folder, ["inspect", "runs/longer", "--json"])).stdout) as {
    changes: unknown;
  };
  expect(changes).toMatchObject([
    {
      step: 4,
      fields: [
        { field: "steps", was: 4, is: 6 },
        { field: "precision", is: "bfloat16" },
      ],
    },
  ]);
});

describe("mistakes", () => {
  /** Exit code 1, nothing on standard output, and the message that ends standard error: one line, without a trace. */
  async function messageOf(args: readonly string[], input?: Uint8Array): Promise<string> {
    const { code, stdout, stderr } = await run(place.folder, args, input ? { input } : {});
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).not.toMatch(/^ +at /m);
    const lines = stderr.trimEnd().split("\n");
    expect(lines.at(-1)).toMatch(/^birkhoff: /);
    return lines.at(-1)!;
  }
  const train = (...args: string[]): string[] => ["train", ...quick, ...args];

  test("a file that is not there", async () => {
    expect(await messageOf(train("--data", "nothing.txt"))).toMatch(/nothing\.txt.*no such file/);
  });
  test("an empty file, an empty input, a folder without text", async () => {
    fs.writeFileSync(place.at("empty.txt"), "");
    fs.mkdirSync(place.at("bare"));
    expect(await messageOf(train("--data", "empty.txt"))).toMatch(
      /empty\.txt holds no text: give a file, a folder or an input with text in it/,
    );
    expect(await messageOf(train("--data", "-"))).toMatch(/holds no text/);
    expect(await messageOf(train("--data", "bare"))).toMatch(/the folder bare has no text files/);
  });
  test("a text smaller than one window", async () => {
    fs.writeFileSync(place.at("short.txt"), "We must keep the peace.");
    expect(await messageOf(train("--data", "short.txt"))).toMatch(
      /text has \d+ tokens, but a window of context 12 needs 13: use a context of at most/,
    );
    expect(fs.existsSync(place.at("runs", "short-nano-mhc", "config.json"))).toBe(false);
  });
  test("bytes that are not UTF-8, and where", async () => {
    const bytes = Buffer.concat([Buffer.from(smallText(500)), Buffer.from([0xff, 0xfe]), Buffer.from(smallText(20))]);
    fs.writeFileSync(place.at("latin.txt"), bytes);
    expect(await messageOf(train("--data", "latin.txt"))).toMatch(
      new RegExp(`latin\\.txt.*UTF-8.*${bytes.indexOf(0xff)}`),
    );
    expect(await messageOf(train("--data", "-"), bytes)).toMatch(/UTF-8/);
  });
  test("a folder that cannot be written to", async () => {
    expect(await messageOf(train("--data", "text.txt", "--out", "text.txt/run"))).toMatch(
      /cannot write to the folder text\.txt\/run: .*choose another folder/,
    );
  });
  test("a run that is there already", async () => {
    const again = train("--data", "text.txt", "--out", "runs/there", "--json");
    expect((await run(place.folder, again)).code).toBe(0);
    const before = losses(place.at("runs/there"));
    expect(await messageOf(again)).toMatch(
      /there is a run in runs\/there already: go on with it \(--resume\), replace it \(--overwrite\)/,
    );
    expect(losses(place.at("runs/there"))).toEqual(before);
    const replaced = await run(place.folder, [...again, "--overwrite", "--seed", "2"]);
    expect(replaced.code, replaced.stderr).toBe(0);
    expect(losses(place.at("runs/there"))).not.toEqual(before);
  });
  test("a run that is not there, to go on with, to sample or to look at", async () => {
    for (const args of [
      ["train", "--resume", "runs/none"],
      ["sample", "runs/none"],
      ["inspect", "runs/none"],
    ]) {
      expect(await messageOf(args)).toMatch(/there is no run in runs\/none/);
    }
    expect(await messageOf(["compare", "--resume", "bare"])).toMatch(/bare holds no comparison/);
  });
  test("sizes that do not fit each other are listed by field, by today's names", async () => {
    const olderSpelling = ["--set", "optimiser.clip=0"];
    const { code, stderr } = await run(
      place.folder,
      train("--data", "text.txt", "--set", "model.heads=3", "--set", "optimizer.beta1=2", ...olderSpelling),
    );
    expect(code).toBe(1);
    expect(stderr).toContain("birkhoff: The configuration made from these options is not valid:\n");
    expect(stderr).toMatch(/^ {2}optimizer\.beta1: /m);
    expect(stderr).toMatch(/^ {2}optimizer\.clip: 0 is given/m);
    expect(stderr).not.toMatch(/^ +at /m);
  });
  test("options out of range name the option and the range", async () => {
    const { code, stderr } = await run(place.folder, ["train", "--steps", "0"]);
    expect(code).toBe(1);
    expect(stderr).toContain(
      "error: option '--steps <n>' argument '0' is invalid. It must be a whole number from 1 to 2147483647.",
    );
    expect((await run(place.folder, ["compare", "--connections", "residual,none"])).stderr).toMatch(
      /"none" is not a connection; use residual, hc, mhc, /,
    );
    expect(await messageOf(train("--data", "text.txt", "--set", "optimizer"))).toMatch(/--set needs path=value/);
  });
  test("fields that are decided before the configuration are not set behind its back", async () => {
    for (const [field, option] of [
      ["data.splitSeed", "--split-seed"],
      ["model.vocabulary", "--vocabulary"],
      ["name", "--out"],
    ] as const) {
      const message = await messageOf(train("--data", "text.txt", "--set", `${field}=3`));
      expect(message).toContain(`--set cannot change ${field}`);
      expect(message).toContain(option);
    }
  });
  test("an empty prompt", async () => {
    expect(await messageOf(["sample", "runs/there", "--prompt", ""])).toMatch(/--prompt is empty/);
  });
});

test("doctor says what the machine offers, one finding a line", async () => {
  const { code, stdout, stderr } = await run(place.folder, ["doctor", "--json"]);
  expect(code, stderr).toBe(0);
  const findings = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { name: string; value: string; good: boolean; remedy?: string });
  expect(findings.map(({ name }) => name)).toEqual(
    expect.arrayContaining(["Node", "threads", "memory", "relaxed SIMD", "256-bit vectors", "runtime webgpu"]),
  );
  // What is missing comes with what to do about it.
  expect(findings.filter(({ good, remedy }) => !good && !remedy)).toEqual([]);
});

test("every command has help with an example", async () => {
  for (const command of ["compare", "train", "sample", "inspect", "doctor", "bench"]) {
    const { code, stdout } = await run(place.folder, [command, "--help"]);
    expect([command, code]).toEqual([command, 0]);
    expect(stdout).toMatch(/Examples?:\n +birkhoff /);
  }
});
