// Question: which option, command or choice did somebody mean on the command line?
//
// Commander says what is wrong; this adds the nearest name to its message, by the same rule as everywhere else.

import type { Command } from "commander";
import { didYouMean } from "../basics/names.ts";
import { fieldNearest } from "../model/problems.ts";
import { configPaths } from "../training/config.ts";
import { fromElsewhere } from "./elsewhere.ts";

/** Commander's message with the name that was probably meant at its end. */
export function withSuggestion(message: string, command: Command): string {
  const [, option] = /unknown option '(--?[^'=]+)/.exec(message) ?? [];
  const [, sub] = /unknown command '([^']+)'/.exec(message) ?? [];
  const [, choice, choices] = /argument '([^']*)' is invalid\. Allowed choices are (.+)\./.exec(message) ?? [];
  const hint =
    option !== undefined
      ? suggestOption(option, command)
      : sub !== undefined
        ? didYouMean(
            sub,
            command.commands.map((each) => each.name()),
          )
        : choice !== undefined && choices !== undefined
          ? didYouMean(choice, choices.split(", "))
          : "";
  const said = message.trimEnd();
  return hint === "" ? message : `${said}${said.endsWith(".") ? "" : "."}${hint}\n`;
}

function suggestOption(given: string, command: Command): string {
  const longs = command.options.flatMap(({ long }) => (long == null ? [] : [long]));
  const known = fromElsewhere(given, (long) => longs.includes(long));
  if (known !== "") return known;
  const near = didYouMean(given, longs);
  if (near !== "" || !longs.includes("--set")) return near;
  // The other fields of a configuration have no option of their own.
  const path = fieldNearest(given, configPaths());
  return path === undefined ? "" : ` Did you mean "--set ${path}=…"?`;
}

/** Let a command's errors of the command line end with what was probably meant. */
export function suggestNames(command: Command): void {
  command.showSuggestionAfterError(false).configureOutput({
    outputError: (message, write) => write(withSuggestion(message, command)),
  });
}
