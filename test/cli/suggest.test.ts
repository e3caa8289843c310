// The command line's own messages end with the name that was probably meant, and are otherwise as Commander wrote them.

import { Command } from "commander";
import { expect, test } from "vitest";
import { parseAlarm, trainingOptions } from "../../src/cli/options.ts";
import { withSuggestion } from "../../src/cli/suggest.ts";

const command = trainingOptions(new Command("train"));

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
  [
    "error: unknown option '--weight-decay'\n",
    `error: unknown option '--weight-decay'. Did you mean "--set optimizer.weightDecay=…"?\n`,
  ],
  [
    "error: unknown option '--optimiser'\n",
    `error: unknown option '--optimiser'. Did you mean "--set optimizer.beta1=…"?\n`,
  ],
  ["error: something else ...\n", "error: something else ...\n"],
])("%j", (said, expected) => {
  expect(withSuggestion(said, command)).toBe(expected);
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
