// birkhoff export: write a run as files that other programs read.

import path from "node:path";
import { Command, Option } from "commander";
import { MOST_TOKENS } from "../basics/bounds.ts";
import { given } from "../basics/given.ts";
import { showBytes, showMany } from "../basics/show.ts";
import { exportCsv } from "../interop/csv.ts";
import { exportTensorBoard } from "../interop/tensorboard.ts";
import { exportGguf } from "../interop/gguf/export.ts";
import { exportHuggingFace } from "../interop/hf/export.ts";
import { exportOnnx } from "../interop/onnx/export.ts";
import { prose } from "../report/terminal.ts";
import { expectUnused, wholeNumber } from "./options.ts";
import { warn } from "./warn.ts";

/** Where an export goes, and whether it may replace files. */
interface ExportTarget {
  readonly out: string;
  readonly overwrite: boolean;
  /** Of a graph with fixed sizes. */
  readonly length?: number;
  readonly batch?: number;
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
    write(run, { out, overwrite, onWarning }) {
      const report = exportHuggingFace(run, out, { overwrite, onWarning });
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
  onnx: {
    meaning: "the model as ONNX, for ONNX Runtime and its like: model.onnx, and the tokenizer",
    write(run, { out, ...options }) {
      const report = exportOnnx(run, out, options);
      const { step, shape, nodes, bytes, files } = report;
      const lines = [
        `${out}: step ${step} of ${run}; token ids [${shape.join(", ")}] to logits, ${showMany(nodes, "node")}, ${showBytes(bytes)}, in ${files.join(", ")}.`,
        `Load it: onnxruntime.InferenceSession(${JSON.stringify(path.join(out, "model.onnx"))}). A shorter sequence is filled up at its end.`,
      ];
      return { report, lines };
    },
  },
  gguf: {
    meaning: "a residual model as llama.cpp and its like read it, with its tokenizer: model.gguf",
    write(run, { out, overwrite, onWarning }) {
      const report = exportGguf(run, out, { overwrite, onWarning });
      const { step, tensors, bytes } = report;
      const file = path.join(out, "model.gguf");
      const lines = [
        `${file}: llama, step ${step} of ${run}; ${showMany(tensors, "tensor")}, ${showBytes(bytes)}, in float32.`,
        `Load it: llama-cli -m ${file}`,
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
  .option("--length <n>", "with onnx: tokens of a sequence (default: the run's context)", wholeNumber(1, MOST_TOKENS))
  .option("--batch <n>", "with onnx: sequences of a batch (default: 1)", wholeNumber(1, MOST_TOKENS))
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
  birkhoff export runs/my --format onnx --length 64
  birkhoff export runs/plain --format gguf
  birkhoff export runs/my --format csv
docs/files.md and docs/interop.md describe each file and how to load it.`,
  )
  .action((run: string, options: ExportCommandOptions, command: Command) => {
    const { format, out = path.join(run, format), overwrite = false, json, length, batch } = options;
    if (format !== "onnx")
      expectUnused(command, ["length", "batch"], `with --format ${format}: only the graph of onnx has fixed sizes`);
    const { report, lines } = formats[format]!.write(run, {
      out,
      overwrite,
      onWarning: warn,
      ...given({ length, batch }),
    });
    process.stdout.write(json ? `${JSON.stringify(report)}\n` : `${prose(lines.join("\n"), process.stdout)}\n`);
  });

interface ExportCommandOptions {
  readonly format: string;
  readonly out?: string;
  readonly length?: number;
  readonly batch?: number;
  readonly overwrite?: boolean;
  readonly json?: boolean;
}
