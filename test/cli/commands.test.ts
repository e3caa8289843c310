// The table of commands says of each what the command says of itself; only the asked one is loaded.

import { expect, test } from "vitest";
import { commandTable, loadProgram } from "../../src/cli/commands.ts";

test.each(commandTable)("$name is as its command says", async ({ name, usage, summary, load }) => {
  const command = await load();
  expect({ name: command.name(), usage: command.usage(), summary: command.description() }).toEqual({
    name,
    usage,
    summary,
  });
});

test("the help is the same, whichever command is loaded", async () => {
  const helps = await Promise.all(
    [[], ["--help"], ["sample", "--help"], ["help", "plan"]].map(async (args) =>
      (await loadProgram("1.2.3", args)).helpInformation(),
    ),
  );
  for (const { name, usage, summary } of commandTable)
    expect(helps[0]).toContain(`  ${`${name} ${usage}`.padEnd(44)}  ${summary}`);
  expect(new Set(helps).size).toBe(1);
});

test.each([
  [["--debug", "plan", "sample"], "plan"],
  [["help", "lint"], "lint"],
])("%j loads %s alone", async (args, asked) => {
  const { commands } = await loadProgram("1.2.3", args);
  expect(commands.filter(({ options }) => options.length > 0).map((command) => command.name())).toEqual([asked]);
});

test("without a command none is loaded", async () => {
  const { commands } = await loadProgram("1.2.3", ["--version"]);
  expect(commands).toHaveLength(commandTable.length);
  expect(commands.filter(({ options }) => options.length > 0)).toEqual([]);
});

test("a command that is misspelled is told the one that was meant", async () => {
  const program = await loadProgram("1.2.3", ["sampel"]);
  let said = "";
  program.exitOverride().configureOutput({ ...program.configureOutput(), writeErr: (text) => (said += text) });
  await expect(program.parseAsync(["sampel"], { from: "user" })).rejects.toThrow("unknown command");
  expect(said).toContain(`unknown command 'sampel'. Did you mean "sample"?`);
});
