// birkhoff doctor: what does this machine offer, and what can be done about what is missing?

import { Command } from "commander";
import { painterOf, prose, widthOf } from "../report/terminal.ts";
import { type Finding, findMachine } from "../planning/here/machine-findings.ts";

export const doctorCommand: Command = new Command("doctor")
  .description("Say what this machine offers for training, and what to do about what is missing.")
  .option("--json", "print the findings as JSON lines")
  .addHelpText("after", "\nExample:\n  birkhoff doctor")
  .action(async ({ json }: { json?: boolean }) => {
    for (const finding of await findMachine())
      process.stdout.write(json ? `${JSON.stringify(finding)}\n` : show(finding));
  });

/** The width of the names, with the mark before them. */
const INDENT = 20;

function show({ name, value, good, remedy }: Finding): string {
  const paint = painterOf(process.stdout);
  const mark = good ? paint("green", "✓") : paint("yellow", "!");
  // In a narrow terminal the text begins below the name.
  const room = widthOf(process.stdout) - INDENT;
  const isNarrow = process.stdout.isTTY && room < 30;
  const indent = " ".repeat(isNarrow ? 4 : INDENT);
  const below = (text: string): string => prose(`${indent}${text}`, process.stdout);
  const first = isNarrow ? `${name}\n${below(value)}` : below(value).replace(indent, `${name.padEnd(INDENT - 3)} `);
  return `${mark} ${first}${remedy ? `\n${paint("dim", below(remedy))}` : ""}\n`;
}
