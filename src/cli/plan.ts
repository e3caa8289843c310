// birkhoff plan: compute what training a model would take, with mHC and without.

import fs from "node:fs";
import path from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { given } from "../basics/given.ts";
import { MOST_ITERATIONS, MOST_STREAMS, MOST_TOKENS } from "../basics/bounds.ts";
import { type CompiledSteps, compileSteps, hasMeasuredKernels } from "../planning/compiled-step.ts";
import { type HardwareName, hardwareNames, hardwareProfiles } from "../planning/hardware.ts";
import { measureMachine } from "../planning/machine.ts";
import { precisions } from "../planning/gpu-memory.ts";
import { MOST_GPUS } from "../planning/layout.ts";
import { type PlanOptions, planTraining, type TrainingPlan } from "../planning/plan.ts";
import { DEFAULT_BANDWIDTH_EFFICIENCY } from "../planning/time.ts";
import { plannedModel, plannedModels } from "../planning/presets.ts";
import { measureKernels } from "../planning/step-time.ts";
import { drawPlan } from "../report/plan-chart.ts";
import { describeCompiled, describePlan } from "../report/plan-text.ts";
import { widthOf } from "../report/terminal.ts";
import { openRuntime } from "../runtime/open.ts";
import { acceptConfig } from "./config-file.ts";
import { positiveNumber, wholeNumber } from "./options.ts";

const THIS_MACHINE = "this-machine";

interface PlanCommandOptions extends Omit<PlanOptions, "hardware"> {
  readonly preset: string;
  readonly hardware: HardwareName | typeof THIS_MACHINE;
  readonly context?: number;
  readonly streams?: number;
  readonly iterations?: number;
  readonly mfu?: number;
  readonly compile?: boolean;
  readonly json?: boolean;
  readonly svg?: string;
}

/** Parse a number above 0 and at most 1. */
function fraction(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 1)) throw new InvalidArgumentError("It must be a number above 0 and at most 1.");
  return value;
}

export const planCommand: Command = acceptConfig(new Command("plan"))
  .description(
    "Plan a training run: parameters, operations, memory, traffic, recomputation, time and cost, with mHC and without.",
  )
  .addOption(
    new Option("--preset <model>", "the model: one of the paper's, DeepSeek-V4's, or ours")
      .choices(plannedModels.map(({ name }) => name))
      .default("paper-27b"),
  )
  .option("--gpus <n>", "GPUs", wholeNumber(1, MOST_GPUS), 1)
  .addOption(
    new Option(
      "--hardware <name>",
      `GPU type, with the numbers of its data sheet; ${THIS_MACHINE} measures this CPU for some seconds`,
    )
      .choices([...hardwareNames, THIS_MACHINE])
      .default("h800"),
  )
  .option("--pipeline <n>", "pipeline stages (default: the fewest that fit)", wholeNumber(1))
  .option("--expert <n>", "GPUs that share a stage's experts (default: the fewest that fit)", wholeNumber(1))
  .option("--no-sharded", "keep the whole optimizer state in every copy (default: copies share it, ZeRO-1)")
  .option("--micro-batch <n>", "sequences of a micro-batch on one GPU", wholeNumber(1), 1)
  .option("--context <n>", "tokens of a sequence (default: the model's)", wholeNumber(1, MOST_TOKENS))
  .option("--streams <n>", "streams of mHC (default: the model's)", wholeNumber(1, MOST_STREAMS))
  .option("--iterations <n>", "Sinkhorn-Knopp iterations (default: the model's)", wholeNumber(1, MOST_ITERATIONS))
  .addOption(
    new Option("--precision <name>", "bytes of each value (default: mixed; float32 on this machine)").choices(
      Object.keys(precisions),
    ),
  )
  .option("--tokens <n>", "tokens to train on, such as 1e12 (default: the paper's)", positiveNumber)
  .option("--price <money>", "price of one GPU hour, for the cost", positiveNumber)
  .option("--mfu <fraction>", "model FLOP utilisation of the baseline (default: 0.35; 1 on this machine)", fraction)
  .option(
    "--bandwidth-efficiency <fraction>",
    "share of the memory bandwidth that mHC's kernels reach",
    fraction,
    DEFAULT_BANDWIDTH_EFFICIENCY,
  )
  .option(
    "--compile",
    "also compile the training step, and show the bytes, operations and calls of its plan; runs nothing",
  )
  .option("--svg <file>", "draw memory, the curve of Eq. 20 and the extra time in this file")
  .option("--json", "print the plan as one JSON object")
  .addHelpText(
    "after",
    `
Examples:
  birkhoff plan --preset paper-27b --gpus 256 --hardware h800 --price 2.5
  birkhoff plan --preset paper-3b --gpus 16 --hardware b200 --svg plan.svg
  birkhoff plan --preset paper-9b --gpus 64 --streams 8 --json
  birkhoff plan --preset paper-27b --compile
  birkhoff plan --preset micro --hardware this-machine --tokens 1e7`,
  )
  .action(
    async ({
      preset,
      hardware,
      context,
      streams,
      iterations,
      mfu,
      compile,
      json,
      svg,
      ...rest
    }: PlanCommandOptions) => {
      const named = plannedModel(preset);
      const connection = {
        streams: streams ?? named.connection.streams,
        iterations: iterations ?? named.connection.iterations,
      };
      const model = { ...named, connection, context: context ?? named.context };
      const options = { ...rest, ...given({ utilisation: mfu }) };
      const print = (plan: TrainingPlan, compiled?: CompiledSteps): void => {
        const tokens = plan.layout.microBatch * model.context;
        const width = widthOf(process.stdout);
        const shown = describePlan(plan, width);
        const text = compiled ? `${shown}\n${describeCompiled(compiled, tokens, width)}\n` : shown;
        process.stdout.write(json ? `${JSON.stringify({ ...plan, compiled })}\n` : text);
        if (svg === undefined) return;
        fs.mkdirSync(path.dirname(svg), { recursive: true });
        fs.writeFileSync(svg, drawPlan(plan));
        process.stderr.write(`Drawn: ${svg}\n`);
      };
      if (hardware !== THIS_MACHINE) {
        const plan = planTraining(model, { ...options, hardware: hardwareProfiles[hardware] });
        return print(plan, compile ? compileSteps(model, { batch: plan.layout.microBatch }) : undefined);
      }
      const runtime = await openRuntime();
      try {
        const plan = planTraining(model, { ...options, hardware: await measureMachine(runtime) });
        const measured = hasMeasuredKernels(model);
        if (!compile && !measured) return print(plan);
        const machine = { batch: plan.layout.microBatch, ...given({ machine: runtime.machine }) };
        print(plan, compileSteps(model, measured ? { ...machine, rates: await measureKernels(runtime) } : machine));
      } finally {
        runtime.close();
      }
    },
  );
