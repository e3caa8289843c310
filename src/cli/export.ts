// birkhoff export: write a run as files that other programs read.

import path from "node:path";
import { Command, Option } from "commander";
import { showBytes, showMany } from "../basics/show.ts";
import { exportCsv } from "../interop/csv.ts";
import { exportTensorBoard } from "../interop/tensorboard.ts";
import { exportHuggingFace } from "../interop/hf/export.ts";
import { prose } from "../report/terminal.ts";
import { warn } from "./warn.ts";

/** Where an export goes, and whether it may replace files. */
interface ExportTarget {
  readonly out: string;
  readonly overwrite: boolean;
  readonly onWarning: (message: string) => void;
}

/** What an export reports: one JSON object, or lines for people. */
interface Exported {
  readonly report: object;
  readonly lines: readonly string[];
}

interface ExportFormat {
  readonly meaning: string;
  write(run: string, target: ExportTarget): Exported;
}

const formats: Readonly<Record<string, ExportFormat>> = {
  hf: {
    meaning: "the model and its tokenizer as Hugging Face stores them: config.json, safetensors, tokenizer.json",
    write(run, { out, ...options }) {
      const report = exportHuggingFace(run, out, options);
      const { step, modelType, tensors, bytes, files } = report;
      const lines = [
        `${out}: ${modelType}, step ${step} of ${run}; ${showMany(tensors, "tensor")}, ${showBytes(bytes)}, in ${files.join(", ")}.`,
        modelType.startsWith("birkhoff")
          ? "No stock loader knows this model type; docs/files.md says what its connection computes."
          : `Load it: AutoModelForCausalLM.from_pretrained(${JSON.stringify(out)})`,
      ];
      return { report, lines };
    },
  },
  csv: {
    meaning: "what was recorded, as tables: metrics.csv, gains.csv, events.csv",
    write: (run, { out, overwrite }) => written(run, exportCsv(run, out, { overwrite })),
  },
  tensorboard: {
    meaning: "what was recorded, as an event file that TensorBoard shows",
    write: (run, { out, overwrite }) => written(run, exportTensorBoard(run, out, { overwrite })),
  },
};

function written(run: string, files: readonly string[]): Exported {
  return { report: { run, files }, lines: files };
}

const meanings = Object.entries(formats)
  .map(([name, { meaning }]) => `  ${name.padEnd(12)} ${meaning}`)
  .join("\n");

export const exportCommand: Command = new Command("export")
  .description("Write a run's model or records as files that other programs read.")
  .argument("<run>", "a run folder")
  .addOption(new Option("--format <name>", "which files").choices(Object.keys(formats)).makeOptionMandatory())
  .option("--out <folder>", "folder for the files (default: a folder in the run, named after the format)")
  .option("--overwrite", "replace existing files")
  .option("--json", "print what was written as one JSON object")
  .addHelpText(
    "after",
    `
Formats:
${meanings}

Examples:
  birkhoff export runs/my --format hf
  birkhoff export runs/my --format hf --out ../my-model
  birkhoff export runs/my --format csv
docs/files.md and docs/interop.md describe each file and how to load it.`,
  )
  .action((run: string, options: { format: string; out?: string; overwrite?: boolean; json?: boolean }) => {
    const { format, out = path.join(run, format), overwrite = false, json } = options;
    const { report, lines } = formats[format]!.write(run, { out, overwrite, onWarning: warn });
    process.stdout.write(json ? `${JSON.stringify(report)}\n` : `${prose(lines.join("\n"), process.stdout)}\n`);
  });
