// The command line's own messages end with the name that was probably meant, and are otherwise as Commander wrote them.

import { Command } from "commander";
import { expect, test } from "vitest";
import { connectionOption, parseAlarm, trainingOptions } from "../../src/cli/options.ts";
import { compareCommand } from "../../src/cli/compare.ts";
import { namesHere } from "../../src/cli/elsewhere.ts";
import { sampleCommand } from "../../src/cli/sample.ts";
import { trainCommand } from "../../src/cli/train.ts";
import { configPaths } from "../../src/training/config.ts";
import { withSuggestion } from "../../src/cli/suggest.ts";

const command = trainingOptions(new Command("train")).addOption(connectionOption);

test.each([
  ["error: unknown option '--lr'\n", `error: unknown option '--lr'. Did you mean "--learning-rate"?\n`],
  ["error: unknown option '--dta=../x'\n", `error: unknown option '--dta=../x'. Did you mean "--data"?\n`],
  [
    "error: option '--preset <size>' argument 'nanno' is invalid. Allowed choices are nano, micro.\n",
    `error: option '--preset <size>' argument 'nanno' is invalid. Allowed choices are nano, micro. Did you mean "nano"?\n`,
  ],
  ["error: unknown option '--epochs'\n", `error: unknown option '--epochs'. Did you mean "--steps"?\n`],
  ["error: unknown option '--device'\n", `error: unknown option '--device'. Did you mean "--runtime"?\n`],
  ["error: unknown option '--layers'\n", `error: unknown option '--layers'. Did you mean "--set model.layers=…"?\n`],
  ["error: unknown option '--fp8'\n", `error: unknown option '--fp8'. Did you mean "--precision fp8"?\n`],
  [
    "error: unknown option '--weight-decay'\n",
    `error: unknown option '--weight-decay'. Did you mean "--set optimizer.weightDecay=…"?\n`,
  ],
  ["error: unknown option '--optimiser'\n", `error: unknown option '--optimiser'. Did you mean "--optimizer"?\n`],
  ["error: unknown option '--mhc'\n", `error: unknown option '--mhc'. Did you mean "--connection mhc"?\n`],
  ["error: unknown option '--block-size'\n", `error: unknown option '--block-size'. Did you mean "--context"?\n`],
  [
    "error: unknown option '--save-every'\n",
    `error: unknown option '--save-every'. Did you mean "--checkpoint-every"?\n`,
  ],
  [
    "error: unknown option '--max-grad-norm'\n",
    `error: unknown option '--max-grad-norm'. Did you mean "--set optimizer.clip=…"?\n`,
  ],
  ["error: unknown option '--bf16'\n", `error: unknown option '--bf16'. Did you mean "--precision bfloat16"?\n`],
  [
    "error: unknown option '--dropout'\n",
    "error: unknown option '--dropout'. There is no dropout here; what holds weights back is weight decay (--set optimizer.weightDecay=0.1).\n",
  ],
  [
    "error: unknown option '--gpu'\n",
    "error: unknown option '--gpu'. A GPU is used by --runtime cuda or --runtime webgpu (birkhoff doctor says which there is); without it, models train on all cores of the processor (--threads).\n",
  ],
  ["error: something else ...\n", "error: something else ...\n"],
])("%j", (said, expected) => {
  expect(withSuggestion(said, command)).toBe(expected);
});

test("a comparison is offered its own option, and no advice is given to commands that do not train", () => {
  expect(withSuggestion("error: unknown option '--mhc'\n", compareCommand)).toMatch(/"--connections mhc"\?\n$/);
  const inspect = new Command("inspect").option("--tokens <file>");
  expect(withSuggestion("error: unknown option '--dropout'\n", inspect)).toBe("error: unknown option '--dropout'\n");
});

test("every option that is offered for one of another tool is one that train or compare has, with a value that fits", async () => {
  const longs = [...trainCommand.options, ...compareCommand.options, ...sampleCommand.options].map(({ long }) => long);
  for (const ours of namesHere) {
    const [option = "", value = ""] = ours.split(" ");
    expect(longs, ours).toContain(option);
    if (option === "--set") expect(configPaths(), ours).toContain(value.replace("=…", ""));
    else if (value !== "") {
      const found = [...trainCommand.options, ...compareCommand.options].find(({ long }) => long === option)!;
      expect(() => found.parseArg?.(value, undefined as never), ours).not.toThrow();
    }
  }
});

test("a rule and an action of an alarm are suggested too", () => {
  expect(() => parseAlarm("spikes")).toThrow(/"spikes" is not a rule; use .*\. Did you mean "spike"\?/);
  expect(() => parseAlarm("spike:stopp")).toThrow(/"stopp" is not an action; use .*\. Did you mean "stop"\?/);
});

test("a command without --set is offered only its own options", () => {
  expect(withSuggestion("error: unknown option '--layers'\n", new Command("inspect").option("--tokens <file>"))).toBe(
    "error: unknown option '--layers'\n",
  );
});

test("weights that are out of range are told both bounds", () => {
  const parse = (weights: string): void => {
    const train = trainingOptions(new Command("train"))
      .exitOverride()
      .configureOutput({ writeErr: () => {} });
    train.parse(["--weights", weights], { from: "user" });
  };
  for (const wrong of ["3,0", "1e9,1", "3,x"]) expect(() => parse(wrong)).toThrow("above 0 and below 1e9");
  expect(() => parse("3,1")).not.toThrow();
});
