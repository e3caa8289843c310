// --config gives a command what its command line does not: options by their names, fields by their paths, and the
// config.json of a run. Options of the command line win. What is unknown or wrong is told with its file and key.

import { Command } from "commander";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, expect, test } from "vitest";
import { checkConfig } from "../../src/cli/configuration.ts";
import { acceptConfig } from "../../src/cli/config-file.ts";
import type { ConnectionChoice } from "../../src/cli/connections.ts";
import { connectionOption, trainingOptions, type TrainingOptions } from "../../src/cli/options.ts";
import { sampleCommand } from "../../src/cli/sample.ts";
import { optimizerEntry } from "../../src/training/optimizers/table.ts";
import type { TrainingConfig } from "../../src/training/config.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-config-"));
afterAll(() => fs.rmSync(folder, { recursive: true }));

interface Options extends TrainingOptions {
  readonly connection: ConnectionChoice;
}

function write(name: string, content: unknown): string {
  const file = path.join(folder, name);
  fs.writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));
  return file;
}

/** What `birkhoff train` with these arguments would be asked for. */
async function optionsOf(content: unknown, args: readonly string[] = [], name = "run.json"): Promise<Options> {
  let seen: Options | undefined;
  const command = acceptConfig(trainingOptions(new Command("train")).addOption(connectionOption))
    .exitOverride()
    .configureOutput({ writeErr: () => undefined })
    .action((options: Options) => void (seen = options));
  await command.parseAsync(["--config", write(name, content), ...args], { from: "user" });
  return seen!;
}

async function configOf(content: unknown, args: readonly string[] = [], name?: string): Promise<TrainingConfig> {
  const options = await optionsOf(content, args, name);
  return checkConfig(options, options.connection, "a");
}

test("--set with null leaves a field out", async () => {
  const mixing = { of: "logits", dynamic: true };
  const args = ["--set", `model.headMixing=${JSON.stringify(mixing)}`];
  expect((await configOf({}, args)).model.headMixing).toEqual(mixing);
  expect((await configOf({}, [...args, "--set", "model.headMixing=null"])).model).not.toHaveProperty("headMixing");
  await expect(configOf({}, ["--set", "model.headMixng=null"])).rejects.toThrow("headMixing");
});

test("JSON and YAML, camel case and dashes, paths and groups say the same", async () => {
  const grouped = {
    data: "my.txt",
    steps: 40,
    learningRate: 1e-3,
    connection: "mhc:streams=2",
    model: { width: 64, heads: 2, kvHeads: 2 },
    optimizer: { clip: 0.5, schedule: { kind: "cosine", final: 0.2 } },
    alarm: ["gain=100:stop"],
  };
  const flat = {
    "data.source": "my.txt",
    steps: 40,
    "learning-rate": 1e-3,
    "model.connection": { kind: "mhc", streams: 2 },
    "model.width": 64,
    "model.heads": 2,
    "model.kvHeads": 2,
    "optimizer.clip": 0.5,
    "optimizer.schedule.kind": "cosine",
    "optimizer.schedule.final": 0.2,
    alarms: { rules: { gain: { bound: 100, action: "stop" } } },
  };
  const yaml = `
data: my.txt
steps: 40
learningRate: 1e-3
connection: mhc:streams=2
model: { width: 64, heads: 2, kvHeads: 2 }
optimizer:
  clip: 0.5
  schedule: { kind: cosine, final: 0.2 }
alarm: [gain=100:stop]
`;
  const config = await configOf(grouped);
  expect(config).toMatchObject({
    data: { source: "my.txt" },
    steps: 40,
    model: { width: 64, heads: 2, layers: 4, connection: { kind: "mhc", streams: 2 } },
    optimizer: { learningRate: 1e-3, clip: 0.5, warmup: 2, schedule: { kind: "cosine", final: 0.2 } },
    alarms: { rules: { gain: { bound: 100, action: "stop" } } },
  });
  expect(await configOf(flat)).toEqual(config);
  expect(await configOf(yaml, [], "run.yaml")).toEqual(config);
});

test("the command line wins over the file, also by another name of the same field", async () => {
  const file = {
    steps: 40,
    optimizer: { learningRate: 1e-3, clip: 0.5, schedule: { kind: "cosine", final: 0.2 } },
    model: { width: 64, context: 32, connection: { kind: "mhc", streams: 2, iterations: 5 } },
    alarm: "gain=100:stop",
    tensorboard: true,
  };
  const args = [
    "--steps",
    "7",
    "--learning-rate",
    "0.5",
    "--context",
    "16",
    "--schedule",
    "constant",
    "--streams",
    "3",
  ];
  const config = await configOf(file, [...args, "--set", "optimizer.clip=2", "--alarm", "gain=5"]);
  expect(config).toMatchObject({
    steps: 7,
    model: { width: 64, context: 16, connection: { kind: "mhc", streams: 3, iterations: 5 } },
    optimizer: { learningRate: 0.5, clip: 2, schedule: { kind: "constant" } },
    alarms: { rules: { gain: { bound: 5 } } },
  });
  // A preset of the command line decides all sizes, and --no-alarms all alarms.
  const micro = await configOf(file, ["--preset", "micro", "--no-alarms", "--connection", "residual"]);
  expect(micro.model).toMatchObject({ width: 256, context: 32, connection: { kind: "residual" } });
  expect(micro.alarms?.rules?.gain).toBe("off");
  expect((await optionsOf(file)).tensorboard).toBe(true);
  expect((await optionsOf({ alarms: false })).alarms).toBe(false);
  const assignments = { set: ["batch=8", "optimizer.learningRate=2", "optimizer.clip=3"] };
  expect((await optionsOf(assignments, ["--batch", "2", "--learning-rate", "1"])).set).toEqual(["optimizer.clip=3"]);
  expect((await optionsOf(assignments)).set).toEqual(assignments.set);
});

test("another optimizer has settings of its own, and the usual rate where the file has its optimizer's usual one", async () => {
  const { optimizer } = await configOf({ "optimizer.clip": 0.5, schedule: "cosine" });
  const run = async (made: object, ...args: string[]) =>
    (await configOf({ config: { ...(await configOf({})), optimizer: made } }, args)).optimizer;
  const sgd = await run(optimizer, "--optimizer", "sgd");
  expect(sgd).toMatchObject({ kind: "sgd", clip: 0.5, schedule: { kind: "cosine" } });
  expect(sgd.learningRate).toBe(optimizerEntry("sgd").usual.learningRate);
  expect(sgd).not.toHaveProperty("beta1");
  expect(await run({ ...optimizer, learningRate: 0.5 }, "--optimizer", "lion")).toMatchObject({ learningRate: 0.5 });
  expect(await run(optimizer)).toEqual(optimizer);
});

test.each([
  [{ learning_rate: 1 }, /no option and a run no field "learning_rate"\. Did you mean "learningRate"\?/],
  [{ optimser: { clip: 1 } }, /"optimser"\. Did you mean "optimizer"\?/],
  [{ optimizer: { clp: 1 } }, /"optimizer\.clp"\. Did you mean "optimizer\.clip"\?/],
  [{ model: { wdth: 1 } }, /"model\.wdth"\. Did you mean "model\.width"\?/],
  [{ constructor: 1 }, /no field "constructor"/],
  [{ "model.__proto__.x": 1 }, /no field "model\.__proto__\.x"/],
  [{ steps: "x" }, /run\.json: steps: "x" is given\. It must be a whole number from 1/],
  [{ steps: null }, /run\.json: steps has no value/],
  [{ steps: 1, "optimizer.warmup": 1, warmup: 2 }, /optimizer\.warmup and warmup are one option/],
  [{ tensorboard: 1 }, /tensorboard: 1 is given; it must be true or false/],
  [{ connection: "mch" }, /connection: "mch" is not a connection; .* Did you mean "mhc"\?/],
  [{ connections: ["mhc"] }, /no field "connections"\. Did you mean "connection"\?/],
  [{ model: { connection: { kind: "mhc", stream: 2 } } }, /there is no field stream here; .* Did you mean "streams"\?/],
  [{ preset: "nanno" }, /preset: "nanno" is no preset; .* Did you mean "nano"\?/],
  [{ config: "other.json" }, /no option and a run no field "config"/],
  [[1], /run\.json: \[1\] is given; it must be an object of options/],
  ["{ steps: 1 }", /Cannot read the configuration .*run\.json: .*JSON/],
])("%j is refused", async (content, message) => {
  await expect(optionsOf(content)).rejects.toThrow(message);
});

test("what is no YAML is told with its place, and a file that is not there", async () => {
  await expect(optionsOf("steps: 1\nsteps: 2\n", [], "a.yaml")).rejects.toThrow(/a\.yaml: .*unique.* line 2/s);
  await expect(optionsOf("a: b: c\n", [], "a.yml")).rejects.toThrow(/a\.yml: .* line 1/s);
  await expect(optionsOf({}, ["--config", "none.json"])).rejects.toThrow(/none\.json: there is no such file/);
});

test("the config.json of a run begins the same run again, and numbers that follow from the steps follow", async () => {
  const args = ["--steps", "40", "--set", "model.width=64", "--connection", "mhc:streams=2", "--alarm", "gain=9:stop"];
  const first = await configOf({}, [...args, "--set", "optimizer.clip=0.5", "--schedule", "cosine", "--warmup", "5"]);
  const description = { config: first, versions: {} };
  expect(await configOf(description, ["--vocabulary", String(first.data.vocabulary)], "config.json")).toEqual(first);
  const longer = await configOf(description, ["--steps", "100"], "config.json");
  expect(longer).toMatchObject({ steps: 100, evaluateEvery: 10, checkpointEvery: 20, optimizer: { warmup: 5 } });
});

test("a command without fields of a run takes its own options alone", async () => {
  await expect(
    sampleCommand.parseAsync(["run", "--config", write("s.json", { temprature: 1 })], { from: "user" }),
  ).rejects.toThrow(/birkhoff sample has no option "temprature"\. Did you mean "temperature"\?/);
  await expect(
    sampleCommand.parseAsync(["run", "--config", write("s.json", { config: { name: "a" } })], { from: "user" }),
  ).rejects.toThrow(/is the configuration of a run, which birkhoff sample does not take/);
});

test("a preset of one's own is a file: all sizes, or a preset with other ones", async () => {
  const own = write("own.json", { context: 16, width: 24, layers: 2, heads: 2, kvHeads: 2, hidden: 32 });
  expect((await configOf({}, ["--preset", own])).model).toMatchObject({ width: 24, context: 16 });
  const deep = write("deep.yaml", "preset: micro\nlayers: 8\n");
  const options = await optionsOf({ preset: deep });
  expect(options.preset.name).toBe("deep");
  expect(checkConfig(options, options.connection, "a").model).toMatchObject({ width: 256, layers: 8 });
  const of = (content: unknown) => optionsOf({ preset: write("bad.json", content) });
  await expect(of({ width: 4 })).rejects.toThrow(/context, layers, heads, kvHeads, hidden are missing/);
  await expect(of({ preset: "nano", wdth: 4 })).rejects.toThrow(/no field "wdth"; .* Did you mean "width"\?/);
  await expect(of({ preset: "nanno" })).rejects.toThrow(/preset is "nanno"; it must be one of nano/);
  await expect(of(3)).rejects.toThrow(/3 is given; it must be the sizes of a model/);
});
