import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { Command } from "commander";
import { afterAll, expect, test } from "vitest";
import { configFrom } from "../../src/cli/configuration.ts";
import { connectionOption, trainingOptions, type TrainingOptions } from "../../src/cli/options.ts";
import type { ConnectionChoice } from "../../src/cli/connections.ts";
import { reportCommand } from "../../src/cli/report.ts";
import type { PreparedData } from "../../src/data/prepared-files.ts";
import { reproduceCommand } from "../../src/report/reproduce.ts";
import { parseTrainingConfig, type TrainingConfig } from "../../src/training/config.ts";
import { presets } from "../../src/model/config.ts";
import { storedConfig, storeRun } from "../report/stored-runs.ts";

const parent = fs.mkdtempSync(path.join(os.tmpdir(), "report-cli-"));
afterAll(() => fs.rmSync(parent, { recursive: true, force: true }));

/** What `birkhoff train` makes of a command line, on data of this vocabulary. */
function configOf(command: string, { name, data, model }: TrainingConfig): TrainingConfig {
  const words = [...command.matchAll(/'((?:[^']|'\\'')*)'|(\S+)/g)].map(
    ([, quoted, plain]) => quoted?.replaceAll("'\\''", "'") ?? plain!,
  );
  const program = trainingOptions(new Command("train")).addOption(connectionOption);
  const options = program
    .parse(words.slice(2), { from: "user" })
    .opts<TrainingOptions & { connection: ConnectionChoice }>();
  const prepared = {
    summary: { folder: "/prepared" },
    train: { origin: { text: data.prepared?.text ?? "text" } },
    tokenizer: { vocabularySize: model.vocabulary },
  } as unknown as PreparedData;
  return configFrom(options, options.connection, name, prepared);
}

const plain = storedConfig("plain", "mhc", 1, 200, 4);
const cases: Readonly<Record<string, TrainingConfig>> = {
  plain,
  "other values": parseTrainingConfig({
    ...plain,
    seed: 7,
    data: { source: "my text's.txt", vocabulary: 2048, splitSeed: 3 },
    model: {
      ...plain.model,
      layers: 24,
      width: 64,
      context: 96,
      connection: { kind: "mhc", streams: 2, iterations: 5, residualMap: "sinkhorn-implicit", collapse: "mean" },
    },
    batch: 3,
    accumulate: 2,
    recompute: "auto",
    optimizer: {
      ...plain.optimizer,
      learningRate: 5e-4,
      clip: 0.5,
      schedule: { kind: "cosine", final: 0.2 },
      decayed: [],
    },
    gainsEvery: 3,
  }),
  narrow: parseTrainingConfig({ ...plain, precision: "bfloat16" }),
  experts: parseTrainingConfig({
    ...plain,
    model: { ...plain.model, ...presets["moe-nano"], connection: { kind: "hc", streams: 4, collapse: "sum" } },
    optimizer: { ...plain.optimizer, epsilon: 1e-20 },
  }),
  mixed: parseTrainingConfig({
    ...plain,
    model: {
      ...plain.model,
      connection: {
        default: plain.model.connection,
        overrides: [{ layers: "0", connection: { kind: "residual" } }],
      },
    },
  }),
  "mixed heads, and keys and values that pass on": parseTrainingConfig({
    ...plain,
    model: {
      ...plain.model,
      headMixing: { of: "both", dynamic: false, map: "cayley" },
      keyValues: { of: "both", connection: { kind: "mhc", streams: 2, maps: "post-res" } },
    },
  }),
  "some of the maps": parseTrainingConfig({
    ...plain,
    model: { ...plain.model, connection: { kind: "mhc", streams: 3, maps: "pre-post" } },
  }),
  "some active streams, as many iterations as needed": parseTrainingConfig({
    ...plain,
    model: {
      ...plain.model,
      connection: { kind: "mhc", streams: 8, active: 4, residualMap: "sinkhorn-adaptive", tolerance: 1e-3 },
    },
  }),
};

test.each(Object.entries(cases))("the command of a report makes the same configuration: %s", (_, config) => {
  const again = configOf(reproduceCommand(config), config);
  const { prepared: _prepared, ...data } = again.data;
  expect({ ...again, data }).toEqual(config);
});

test("iterations that a map does not have are not in the command, which would refuse them", () => {
  const connection = { kind: "mhc", streams: 4, residualMap: "cayley" } as const;
  const config = parseTrainingConfig({
    ...plain,
    model: { ...plain.model, connection: { ...connection, iterations: 5 } },
  });
  expect(configOf(reproduceCommand(config), config).model.connection).toEqual({ ...connection, iterations: 20 });
});

test("a comparison gets its report beside its runs, with its figures", async () => {
  const folder = path.join(parent, "comparison");
  for (const kind of ["residual", "mhc"] as const) storeRun(folder, { name: kind, kind });
  const figures = path.join(parent, "figures");
  const said: string[] = [];
  const write = process.stdout.write.bind(process.stdout);
  process.stdout.write = (text: string | Uint8Array) => said.push(String(text)) > 0;
  try {
    await reportCommand.parseAsync([folder, "--svg", figures, "--json"], { from: "user" });
  } finally {
    process.stdout.write = write;
  }
  const told = JSON.parse(said.join("")) as { written: string[]; runs: { name: string; loss: number }[] };
  expect(told.written[0]).toBe(path.join(folder, "report.html"));
  expect(told.runs.map(({ name }) => name)).toEqual(["residual", "mhc"]);
  for (const file of told.written) expect(fs.statSync(file).size).toBeGreaterThan(1000);
  expect(fs.readdirSync(figures)).toContain("loss-gap.svg");
});

test("a folder without a run is told what one is", async () => {
  await expect(reportCommand.parseAsync([parent + "/nothing"], { from: "user" })).rejects.toThrow(
    /There is no run in .*nothing/,
  );
});
