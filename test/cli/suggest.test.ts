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
  ["error: something else ...\n", "error: something else ...\n"],
])("%j", (said, expected) => {
  expect(withSuggestion(said, command)).toBe(expected);
});

test("a rule and an action of an alarm are suggested too", () => {
  expect(() => parseAlarm("spikes")).toThrow(/"spikes" is not a rule; use .*\. Did you mean "spike"\?/);
  expect(() => parseAlarm("spike:stopp")).toThrow(/"stopp" is not an action; use .*\. Did you mean "stop"\?/);
});
