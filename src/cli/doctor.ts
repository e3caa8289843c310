// birkhoff doctor: what does this machine offer, and what can be done about what is missing?

import { styleText } from "node:util";
import { Command } from "commander";
import { type Finding, findMachine } from "../planning/here/machine-findings.ts";

export const doctorCommand: Command = new Command("doctor")
  .description("Say what this machine offers for training, and what to do about what is missing.")
  .option("--json", "print the findings as JSON lines")
  .addHelpText("after", "\nExample:\n  birkhoff doctor")
  .action(async ({ json }: { json?: boolean }) => {
    for (const finding of await findMachine())
      process.stdout.write(json ? `${JSON.stringify(finding)}\n` : show(finding));
  });

function show({ name, value, good, remedy }: Finding): string {
  const mark = good ? styleText("green", "✓") : styleText("yellow", "!");
  return `${mark} ${name.padEnd(16)} ${value}${remedy ? `\n${" ".repeat(19)}${styleText("dim", remedy)}` : ""}\n`;
}
