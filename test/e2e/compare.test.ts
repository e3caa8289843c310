// The path of `npm start` with a tiny setting: three models side by side on the State of the Union
// addresses, then a look at what they left, a text from one of them, and going on.

import fs from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Finished, losses, makeWorkplace, run, start, tiny, eventsOf, resultOf } from "./cli.ts";

const place = makeWorkplace();
const kinds = ["residual", "hc", "mhc"] as const;
const settings = [
  ...tiny,
  "--steps",
  "10",
  "--evaluate-every",
  "5",
  "--checkpoint-every",
  "4",
  "--set",
  "gainsEvery=5",
  "--set",
  "evaluateBatches=2",
];
let compared: Finished;
beforeAll(async () => void (compared = await run(place.folder, ["compare", ...settings])));
afterAll(() => place.remove());

const runFolder = (kind: string): string => place.at("runs", "sotu-nano-1", kind);

describe("compare", () => {
  test("ends with code 0, a drawing of the curves, a table and a sample of each model", () => {
    expect(compared.code, compared.stderr).toBe(0);
    const lines = compared.stdout.split("\n");
    expect(compared.stdout).toContain("Training loss, nats a token");
    expect(lines.filter((line) => /^ *\d\.\d\d [┤┼]/.test(line)).length).toBeGreaterThan(8);
    const header = lines.findIndex((line) => line.startsWith("model"));
    expect(lines[header]!.split(/ {2,}/)).toEqual([
      "model",
      "parameters",
      "val bits/byte",
      "tokens/s",
      "memory",
      "max grad norm",
      "max gain fwd",
      "max gain bwd",
      "alarms",
    ]);
    const rows = lines.slice(header + 2, header + 5).map((line) => line.split(/ {2,}/));
    expect(rows.map(([name]) => name)).toEqual([...kinds]);
    for (const [name, parameters, bits, speed, memory, norm, forward, backward] of rows) {
      expect(Number(parameters!.replaceAll(",", ""))).toBeGreaterThan(10_000);
      expect(Number(bits)).toBeGreaterThan(1);
      expect(Number(bits)).toBeLessThan(8);
      expect(memory).toMatch(/^[1-9]\d*\.\d [KM]iB$/);
      for (const value of [speed!.replaceAll(",", ""), norm]) expect(Number(value)).toBeGreaterThan(0);
      for (const gain of [forward, backward]) {
        if (name === "residual") expect(gain).toBe("-");
        else expect(Number(gain)).toBeCloseTo(1, 0);
      }
    }
    expect(Number(rows[2]![6])).toBeCloseTo(1, 3);
    for (const kind of kinds) expect(compared.stdout).toMatch(new RegExp(`── ${kind}\\n\\w+ \\w+`));
  });
  test("tells on standard error what it does, in plain lines", () => {
    expect(compared.stderr).toMatch(/233 documents, 10\.3 MiB; \d+ for training, \d+ for validation/);
    expect(compared.stderr).toMatch(
      /3 models of 2 layers, width 16, context 12; 10 steps of 4 sequences; 2 threads; runs in runs\/sotu-nano-1/,
    );
    for (const kind of kinds)
      expect(compared.stderr).toMatch(
        new RegExp(`^\\S+ \\S+ ${kind}: step 10/10 {2}loss \\d\\.\\d+ {2}val bpb \\d.*tokens/s.*grad norm`, "m"),
      );
    expect(compared.stderr).not.toContain("\u001b");
  });
  test("leaves three runs that differ in their connection alone", () => {
    const configs = kinds.map(
      (kind) =>
        JSON.parse(fs.readFileSync(`${runFolder(kind)}/config.json`, "utf8")) as {
          config: { name: string; model: { connection: { kind: string } } };
        },
    );
    expect(configs.map(({ config }) => config.model.connection.kind)).toEqual([...kinds]);
    const rest = configs.map(({ config }) => ({
      ...config,
      name: "",
      model: { ...config.model, connection: undefined },
    }));
    expect(rest[1]).toEqual(rest[0]);
    expect(rest[2]).toEqual(rest[0]);
    for (const kind of kinds) {
      expect(fs.readdirSync(runFolder(kind)).sort()).toEqual([
        "checkpoints",
        "config.json",
        "events.jsonl",
        "gains.jsonl",
        "metrics.jsonl",
        "mixing.jsonl",
        "samples.txt",
        "tokenizer.json",
      ]);
      expect(fs.readdirSync(`${runFolder(kind)}/checkpoints`).sort()).toEqual(["step-10", "step-8"]);
      expect(fs.readFileSync(`${runFolder(kind)}/samples.txt`, "utf8")).toMatch(/^step 10, prompt "\w+( \w+)+"\n/);
      expect(losses(runFolder(kind))).toHaveLength(10);
    }
    // HC starts equal to the residual model, and sees the same batches.
    const first = kinds.map((kind) => (losses(runFolder(kind))[0] as { loss: number }).loss);
    expect(first[1]).toBeCloseTo(first[0]!, 5);
    expect(first[2]).toBeCloseTo(first[0]!, 3);
  });
  test("stopped by Ctrl-C and gone on with, every run reaches its end", async () => {
    const many = settings.with(settings.indexOf("10"), "1000");
    const stopped = start(place.folder, ["compare", ...many, "--out", "stopped", "--connections", "residual,mhc"]);
    await stopped.said("residual: step 1/1000");
    await new Promise((resolve) => setTimeout(resolve, 100));
    stopped.child.kill("SIGINT");
    const { code, stdout, stderr } = await stopped.finished;
    expect(code, stderr).toBe(130);
    expect(stdout).toContain("Continue: birkhoff compare --resume stopped");
    const again = await run(place.folder, ["compare", "--resume", "stopped", "--cache", "cache", "--json"]);
    expect(again.code, again.stderr).toBe(0);
    const { runs } = resultOf(again.stdout) as { runs: { name: string; stopped: boolean }[] };
    expect(runs.map(({ name, stopped: half }) => [name, half])).toEqual([
      ["residual", false],
      ["mhc", false],
    ]);
    expect(losses(place.at("stopped", "mhc")).map((record) => (record as { step: number }).step)).toEqual(
      Array.from({ length: 1000 }, (_, i) => i + 1),
    );
  });
});

describe("variants", () => {
  test("a folder that is a run itself is refused: what it held beside the run would not be shown", async () => {
    const { code, stderr } = await run(place.folder, ["compare", ...settings, "--out", "runs/sotu-nano-1/mhc"]);
    expect(code).toBe(1);
    expect(stderr).toContain("is a run itself, and runs inside a run are not shown: give another --out");
    expect(fs.existsSync(runFolder("mhc/residual"))).toBe(false);
  });

  test("two of a kind stand side by side under names of their own", async () => {
    const few = settings.with(settings.indexOf("10"), "2");
    const choices = "mhc,mhc:residualMap=identity:streams=2,dense";
    const { code, stdout, stderr } = await run(place.folder, [
      "compare",
      ...few,
      "--out",
      "variants",
      "--connections",
      choices,
      "--json",
    ]);
    expect(code, stderr).toBe(0);
    const names = ["mhc", "mhc-residualMap=identity-streams=2", "dense"];
    const { runs } = resultOf(stdout) as { runs: { name: string; parameters: number }[] };
    expect(runs.map(({ name }) => name)).toEqual(names);
    // Everything is told as it happens, in this order.
    const told = eventsOf(stdout).map(({ event, run: of, step, name }) =>
      [event, of ?? name, step].filter((part) => part !== undefined).join(" "),
    );
    expect(told).toEqual([
      "start",
      ...[1, 2].flatMap((step) => names.map((name) => `step ${name} ${step}`)),
      ...names.map((name) => `run ${name}`),
      "result",
    ]);
    expect(new Set(runs.map(({ parameters }) => parameters)).size).toBe(3);
    for (const name of names) expect(losses(place.at("variants", name))).toHaveLength(2);
    const config = place.at("variants", "dense", "config.json");
    const whole = fs.readFileSync(config, "utf8");
    fs.rmSync(config);
    const again = await run(place.folder, ["compare", "--resume", "variants", "--cache", "cache", "--json"]);
    expect(again.code, again.stderr).toBe(0);
    expect((resultOf(again.stdout) as { runs: unknown[] }).runs).toHaveLength(3);
    // A configuration that is lost comes back from the checkpoint, as for a run alone.
    expect(again.stderr).toContain("config.json is missing or not readable; it is written again from the checkpoint");
    expect(fs.readFileSync(config, "utf8")).toBe(whole);
  });

  test("a run with another connection in its last layer is trained, resumed and inspected", async () => {
    const few = settings.with(settings.indexOf("10"), "4");
    const connection = {
      default: { kind: "mhc" },
      overrides: [{ layers: "last", role: "feedForward", connection: { kind: "residual" } }],
    };
    const set = ["--set", `model.connection=${JSON.stringify(connection)}`];
    const trained = await run(place.folder, ["train", ...few, ...set, "--out", "mixed"]);
    expect(trained.code, trained.stderr).toBe(0);
    const again = await run(place.folder, ["train", "--resume", "mixed", "--cache", "cache", "--json"]);
    expect(again.code, again.stderr).toBe(0);
    const { stdout } = await run(place.folder, ["inspect", "mixed"]);
    expect(stdout).toMatch(/^1 +feedForward +residual +channels \(anew\) +0$/m);
    expect(stdout).toMatch(/^0 +attention +mhc:streams=4:iterations=20 +4 streams +1,563$/m);
    const maps = stdout.slice(stdout.indexOf("maps ")).split("\n");
    expect(maps.slice(2, 6).map((line) => line.split(" ")[0])).toEqual(["1", "2", "3", ""]);
    const sample = await run(place.folder, ["sample", "mixed", "--prompt", "We", "--tokens", "5", "--seed", "1"]);
    expect(sample.code, sample.stderr).toBe(0);
  });
});

describe("afterwards", () => {
  test("sample writes the same text for the same seed, and another for another", async () => {
    const write = (seed: string): Promise<Finished> =>
      run(place.folder, [
        "sample",
        runFolder("mhc"),
        "--prompt",
        "We must",
        "--tokens",
        "20",
        "--seed",
        seed,
        "--threads",
        "1",
      ]);
    const [one, same, other] = [await write("7"), await write("7"), await write("8")];
    expect([one.code, one.stderr]).toEqual([0, ""]);
    expect(one.stdout).toMatch(/^We must[^]+\n$/);
    expect(same.stdout).toBe(one.stdout);
    expect(other.stdout).not.toBe(one.stdout);
  });
  test("inspect shows a run, for people and as JSON", async () => {
    const { code, stdout } = await run(place.folder, ["inspect", runFolder("mhc"), "--tensors"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^mhc: 2 layers, width 16, heads 2, context 12/);
    expect(stdout).toContain("every sublayer: mhc:streams=4:iterations=20; its state is 4 streams");
    expect(stdout).toContain("step 10 of 10; checkpoint step 10");
    expect(stdout).toContain("step 10, measured on 12 tokens of the validation text");
    expect(stdout).toMatch(
      /^maps +gain fwd +bwd +product fwd +bwd +row error +col error +logits +\|λ₂\| +‖P − J\/n‖$/m,
    );
    expect(stdout).toMatch(/^4 layers\.1\.feedForward +1\.0000 /m);
    const elsewhere = await run(place.folder, ["inspect", runFolder("mhc"), "--tokens", "text.txt", "--json"]);
    const { instruments } = JSON.parse(elsewhere.stdout) as {
      instruments: { step: number; length: number; instruments: { rowError: number[]; activation: number[] } };
    };
    expect([instruments.step, instruments.length]).toEqual([10, 12]);
    expect(Math.max(...instruments.instruments.rowError)).toBeLessThan(1e-6);
    expect(instruments.instruments.activation).toHaveLength(4);
    const file = `${runFolder("mhc")}/checkpoints/step-10/model.safetensors`;
    const foreign = await run(place.folder, ["inspect", file, "--convention", "paper"]);
    expect(foreign.stdout).toMatch(
      /^.*model\.safetensors: 4 connections, paper\nAverages over 128 tokens of random streams/,
    );
    expect(foreign.stdout).toMatch(/^1 layers\.0\.attention +1\.0000 /m);
    const misused = await run(place.folder, ["inspect", file, "--plan"]);
    expect([misused.code, misused.stderr]).toEqual([
      1,
      `birkhoff: --plan is for a run folder, but ${file} is not one.\n`,
    ]);
    expect(stdout).toContain("layers.1.feedForward.connection.phi [24, 64]");
    const json = await run(place.folder, ["inspect", runFolder("residual"), "--json"]);
    const shown = JSON.parse(json.stdout) as {
      config: { name: string };
      checkpoint: { step: number };
      last: { step: number };
      tensors: { name: string; largest: number }[];
    };
    expect([shown.config.name, shown.checkpoint.step, shown.last.step]).toEqual(["residual", 10, 10]);
    expect(shown.tensors.map(({ name }) => name)).toContain("layers.0.attention.qkv");
    expect(shown.tensors.every(({ largest }) => largest > 0)).toBe(true);
  });
  test("train --resume of a finished run changes nothing", async () => {
    const before = fs.readdirSync(runFolder("hc"), { recursive: true });
    const samples = fs.readFileSync(`${runFolder("hc")}/samples.txt`, "utf8");
    const { code, stderr } = await run(place.folder, ["train", "--resume", runFolder("hc"), "--cache", "cache"]);
    expect(code, stderr).toBe(0);
    expect(fs.readdirSync(runFolder("hc"), { recursive: true })).toEqual(before);
    expect(fs.readFileSync(`${runFolder("hc")}/samples.txt`, "utf8")).toBe(samples);
    expect(losses(runFolder("hc"))).toHaveLength(10);
  });
});
