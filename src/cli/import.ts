// birkhoff import: make a run from a model in Hugging Face's format.

import { Command, Option } from "commander";
import { importHuggingFace } from "../interop/hf/import.ts";
import { type UpcycledConnection, upcycledConnections } from "../interop/upcycle.ts";
import { MOST_STREAMS, MOST_TOKENS } from "../basics/bounds.ts";
import { positiveNumber, seed, wholeNumber, machineOptions, type MachineOptions } from "./options.ts";
import { expectChosen, openChosen } from "./runtime.ts";
import { prose } from "../report/terminal.ts";
import { warn } from "./warn.ts";

interface ImportOptions extends MachineOptions {
  readonly to?: UpcycledConnection["kind"];
  readonly streams: number;
  readonly context?: number;
  readonly data?: string;
  readonly steps?: number;
  readonly batch?: number;
  readonly learningRate?: number;
  readonly seed?: number;
  readonly overwrite?: boolean;
  readonly json?: boolean;
}

export const importCommand: Command = machineOptions(new Command("import"))
  .description(
    "Make a run from a model in Hugging Face's format: one that birkhoff export wrote, or a checkpoint like " +
      "Llama's or DeepSeek-V3's. The run can write, train and be inspected like any other.",
  )
  .argument(
    "<folder>",
    "folder with config.json, model.safetensors or its shards, and tokenizer.json; or hf:owner/name[@revision]",
  )
  .argument("<run>", "the folder of the new run")
  .addOption(
    new Option(
      "--to <connection>",
      "give the model streams; it still computes the same and can be trained further",
    ).choices(Object.keys(upcycledConnections)),
  )
  .option("--streams <n>", "streams, with --to", wholeNumber(1, MOST_STREAMS), 4)
  .option(
    "--context <n>",
    "tokens in a sequence (default: the model's own context, at most 1024)",
    wholeNumber(1, MOST_TOKENS),
  )
  .option("--data <source>", "text for further training: sotu, a file or a folder (default: sotu)")
  .option("--steps <n>", "step at which further training ends (default: 700)", wholeNumber(1))
  .option("--batch <n>", "sequences in a batch (default: 16)", wholeNumber(1))
  .option("--learning-rate <rate>", "highest learning rate (default: 3e-4)", positiveNumber)
  .option("--seed <n>", "seed of the batches and of new parameters (default: 1)", seed)
  .option("--overwrite", "replace an existing run")
  .option("--json", "print what was made as one JSON object")
  .addHelpText(
    "after",
    `
Examples:
  birkhoff import my-model runs/mine
  birkhoff import llama-folder runs/wide --to mhc --data my.txt --context 256
  birkhoff train --resume runs/wide
  birkhoff import hf:HuggingFaceTB/SmolLM2-135M runs/smol
docs/files.md says what can be imported and what cannot.`,
  )
  .action(async (folder: string, run: string, options: ImportOptions) => {
    await expectChosen(options);
    const { to, streams, runtime: chosen, threads, revectorise, overwrite, json, ...rest } = options;
    const runtime = await openChosen({ runtime: chosen, threads, revectorise });
    try {
      const made = await importHuggingFace(runtime, folder, run, {
        ...rest,
        ...(to ? { connection: upcycledConnections[to](streams) } : {}),
        existing: overwrite ? "overwrite" : "refuse",
        onWarning: warn,
      });
      const { config, parameters, noTokenizer, notes, difference } = made;
      if (json) {
        process.stdout.write(
          `${JSON.stringify({ folder: run, parameters, noTokenizer, notes, difference, config })}\n`,
        );
        return;
      }
      const { layers, width, heads, connection } = config.model;
      const kind = "kind" in connection ? connection.kind : "mixed";
      const lines = [
        `${run}: ${kind}, ${layers} layers, width ${width}, heads ${heads}, ${parameters.toLocaleString("en")} parameters, from ${folder === "." ? "this folder" : folder}.`,
        ...(difference === undefined
          ? []
          : [`Largest difference of a logit between the model and the run: ${difference.toExponential(1)}.`]),
        ...notes,
        noTokenizer === undefined
          ? `Continue: birkhoff sample ${run}, birkhoff train --resume ${run}`
          : `The run can neither write nor train, because it has no tokenizer: ${noTokenizer}. To mend that, put the tokenizer.json of a byte-level BPE with ${config.model.vocabulary} tokens into ${run}.`,
      ];
      process.stdout.write(`${prose(lines.join("\n"), process.stdout)}\n`);
    } finally {
      runtime.close();
    }
  });
