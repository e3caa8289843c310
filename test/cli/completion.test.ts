// The completion scripts offer every command and option; bash, which runs them here, answers as a person would see it.

import { execFileSync, spawnSync } from "node:child_process";
import type { Command } from "commander";
import { beforeAll, describe, expect, test } from "vitest";
import { commandTable } from "../../src/cli/commands.ts";
import { completionScript, offersOf, type Shell } from "../../src/cli/completion.ts";

let commands: Command[];
beforeAll(async () => {
  commands = await Promise.all(commandTable.map(({ load }) => load()));
});

/** The part of a script that is about one command, and how an option is written in it. */
const parts: Readonly<Record<Shell, (script: string, command: string) => string>> = {
  bash: (script, command) => script.split(`\n    ${command})\n`)[1]!.split("\n      esac ;;")[0]!,
  zsh: (script, command) => script.split(`\n        ${command})\n`)[1]!.split(" ;;")[0]!,
  fish: (script, command) =>
    script
      .split("\n")
      .filter((line) => line.includes(`seen_subcommand_from ${command}'`))
      .join("\n")
      .replaceAll(" -l ", " --"),
};

test.each(Object.keys(parts) as Shell[])("%s offers every option of every command", (shell) => {
  const script = completionScript(shell, commands);
  const offers = (command: string, option: string): boolean =>
    new RegExp(`${option}(?![\\w-])`).test(parts[shell](script, command));
  const lacking = commands.flatMap((command) =>
    command.options.filter(({ long }) => !offers(command.name(), long!)).map(({ long }) => `${command.name()} ${long}`),
  );
  expect(lacking).toEqual([]);
  expect(offers("train", "--no-such")).toBe(false);
  expect(offers("sample", "--steps")).toBe(false);
});

test("an option's values are its choices, files, or free", () => {
  const train = offersOf(commands).find(({ name }) => name === "train")!;
  const valueOf = (flag: string): unknown => train.options.find(({ long }) => long === flag)?.value;
  expect(valueOf("--schedule")).toEqual({ kind: "words", words: ["step", "cosine", "constant"] });
  expect(valueOf("--connection")).toMatchObject({ words: expect.arrayContaining(["mhc", "hc", "residual"]) });
  expect(valueOf("--preset")).toMatchObject({ kind: "either", words: expect.arrayContaining(["nano", "micro"]) });
  expect(valueOf("--data")).toEqual({ kind: "files" });
  expect(valueOf("--steps")).toEqual({ kind: "free" });
  expect(valueOf("--json")).toBeUndefined();
});

const hasBash = spawnSync("bash", ["--version"]).status === 0;

describe.skipIf(!hasBash)("in bash", () => {
  const complete = (...words: string[]): string[] => {
    const program = `${completionScript("bash", commands)}
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _birkhoff; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const answer = execFileSync("bash", ["-c", program, "bash", "birkhoff", ...words], { encoding: "utf8" });
    return answer.split("\n").filter((line) => line !== "");
  };

  test.each([
    [["tra"], ["train"]],
    [
      ["help", "in"],
      ["inspect", "intervene"],
    ],
    [["train", "--pres"], ["--preset"]],
    [
      ["train", "--schedule", "co"],
      ["cosine", "constant"],
    ],
    [
      ["train", "--schedule", "=", "co"],
      ["cosine", "constant"],
    ],
    [["--debug", "compare", "--connections", "mh"], ["mhc"]],
    [["train", "--steps", ""], []],
    [["sample", "package.js"], ["package.json"]],
    [["train", "--data", "package.js"], ["package.json"]],
    [
      ["completion", ""],
      ["bash", "zsh", "fish"],
    ],
    [["train", "--preset", "moe-n"], ["moe-nano"]],
    [["plan", "--hardware", "package.js"], ["package.json"]],
    [["plan", "--hardware", "this"], ["this-machine"]],
    [["nosuch", "--"], []],
  ])("%j", (words, expected) => {
    expect(complete(...words)).toEqual(expected);
  });
});
