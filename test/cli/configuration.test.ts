// Options of a command line that would change nothing are refused, with what would make them matter.

import { Command } from "commander";
import { expect, test } from "vitest";
import { checkConfig, expectEffect } from "../../src/cli/configuration.ts";
import { parseChoices } from "../../src/cli/connections.ts";
import { trainingOptions, type TrainingOptions } from "../../src/cli/options.ts";
import { printedSample } from "../../src/cli/text.ts";
import { optimizerEntry } from "../../src/training/optimizers/table.ts";

function expectOptions(connections: string, ...args: string[]): void {
  const command = trainingOptions(new Command("train"));
  command.parse(args, { from: "user" });
  const options = command.opts<TrainingOptions>();
  const choices = parseChoices(connections);
  const models = choices.map((choice) => checkConfig(options, choice, choice.name));
  expectEffect(command, options, choices, models);
}

test.each([
  ["hc", ["--residual-map", "cayley"], /^--residual-map would change nothing: the options of hc are .*: mhc\.$/],
  ["hc", ["--convention", "deepseek-v4"], /^--convention would change nothing/],
  ["residual", ["--streams", "8"], /^--streams would change nothing: residual has no options\. .*: hc, mhc, gated-/],
  ["residual", ["--iterations", "5"], /^--iterations would change nothing/],
  ["residual", ["--initialisation", "zero"], /^--initialisation would change nothing/],
  ["mhc:streams=2", ["--streams", "8"], /^--streams would change nothing: mhc:streams=2 says streams already\./],
  ["residual,dense", ["--streams", "8"], /residual has no options; dense has no options\./],
  ["residual", ["--alarm", "gain=3:stop"], /^--alarm gain would never speak: residual has nothing that it measures\./],
  ["hc", ["--alarm", "column-error"], /^--alarm column-error would never speak/],
  ["mhc:residualMap=cayley", ["--iterations", "5"], /^--iterations would change nothing: cayley has no iterations\./],
  ["mhc", ["--residual-map", "identity", "--iterations", "5"], /^--iterations would change nothing: identity has/],
  [
    "mhc",
    ["--set", "model.connection.iterations=5", "--residual-map", "cayley"],
    /^model\.connection\.iterations=5 would/,
  ],
  ["mhc:residualMap=cayley:iterations=5", [], /iterations would change nothing: cayley has none\./],
  ["mhc", ["--seed", "1", "--set", "seed=2"], /^--seed and --set seed give one field twice\./],
  ["mhc", ["--learning-rate", "1", "--set", "optimiser.learningRate=2"], /^--learning-rate and --set optimizer\.learn/],
  ["mhc", ["--streams", "2", "--set", "model.connection.streams=3"], /^--streams and --set model\.connection\.streams/],
  ["residual,hc", ["--alarm", "saturation"], /^--alarm saturation would never speak: residual, hc have nothing/],
])("%s %j is refused", (connections, args, message) => {
  expect(() => expectOptions(connections, ...args)).toThrow(message);
});

test("what one of several connections has, and what was not given, passes", () => {
  expectOptions("residual,hc,mhc", "--streams", "2", "--iterations", "5", "--alarm", "gain=3", "--alarm", "saturation");
  expectOptions("mhc:streams=2,hc", "--streams", "8");
  expectOptions("residual");
  expectOptions("mhc:residualMap=cayley,mhc", "--iterations", "5");
  expectOptions("mhc:residualMap=sinkhorn-implicit:iterations=5", "--set", "seed=2");
  expectOptions("residual", "--alarm", "gain=off", "--alarm", "spike:stop", "--no-alarms");
});

test.each([
  ["--optimizer", "lion"],
  ["--set", "optimizer.kind=lion"],
  ["--set", 'optimizer.kind="lion"'],
])("%s %s has the rate that is usual for it", (...args) => {
  const command = trainingOptions(new Command("train"));
  command.parse(args, { from: "user" });
  const [choice] = parseChoices("residual");
  const { optimizer } = checkConfig(command.opts<TrainingOptions>(), choice!, "named");
  expect(optimizer.kind).toBe("lion");
  expect(optimizer.learningRate).toBe(optimizerEntry("lion").usual.learningRate);
});

test("a printed sample is one short paragraph without control characters", () => {
  expect(printedSample("We\nmust \u001B[31m\uFFFD\uFFFDgo\u0007\t on")).toBe("We must [31m…go on");
  expect(printedSample("word ".repeat(1000))).toHaveLength(480);
});
