// birkhoff plan: compute what training a model would take, with mHC and without.

import fs from "node:fs";
import path from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { given } from "../basics/given.ts";
import { parseDecimal } from "../basics/numbers.ts";
import { MOST_ITERATIONS, MOST_STREAMS, MOST_TOKENS } from "../basics/bounds.ts";
import { type CompiledSteps, compileSteps, hasMeasuredKernels } from "../planning/compiled-step.ts";
import { didYouMean } from "../basics/names.ts";
import { type Hardware, type HardwareName, hardwareNames, hardwareProfiles } from "../planning/hardware.ts";
import { readHardware } from "../planning/here/hardware-file.ts";
import { measureMachine } from "../planning/machine.ts";
import { precisions } from "../planning/gpu-memory.ts";
import { MOST_GPUS, type ZeroStage, zeroStages } from "../planning/layout.ts";
import { type PlanOptions, planTraining, type TrainingPlan } from "../planning/plan.ts";
import { DEFAULT_BANDWIDTH_EFFICIENCY } from "../planning/time.ts";
import { plannedModels } from "../planning/presets.ts";
import { measureKernels } from "../planning/step-time.ts";
import { drawPlan } from "../report/plan-chart.ts";
import { describeCompiled, describePlan } from "../report/plan-text.ts";
import { prose, widthOf } from "../report/terminal.ts";
import { openRuntime } from "../runtime/open.ts";
import { acceptConfig } from "./config-file.ts";
import { expectUnused, meshSizes, positiveNumber, wholeNumber } from "./options.ts";
import type { MeshSize } from "../training/parallel/mesh.ts";
import { type ScheduleName, scheduleNames } from "../training/parallel/schedules/table.ts";
import { planMesh } from "./plan-mesh.ts";
import { plannedOf } from "./planned-of.ts";
import { gpuCounts, planScaling } from "./plan-scale.ts";

const THIS_MACHINE = "this-machine";

interface PlanCommandOptions extends Omit<PlanOptions, "hardware" | "sharded"> {
  readonly preset: string;
  readonly model?: string;
  readonly hardware: string;
  /** Commander sets it to true where it is not given. */
  readonly sharded: boolean;
  readonly context?: number;
  readonly streams?: number;
  readonly iterations?: number;
  readonly mfu?: number;
  readonly compile?: boolean;
  readonly json?: boolean;
  readonly svg?: string;
  readonly mesh?: Partial<MeshSize>;
  readonly scale?: readonly number[];
  readonly pipelineSchedule: ScheduleName;
  readonly pipelineChunks: number;
  readonly threads: number;
}

const isProfile = (name: string): name is HardwareName => (hardwareNames as readonly string[]).includes(name);

/** The hardware of a name or a file, and the price that the file has. */
function hardwareOf(given: string): { readonly hardware: Hardware; readonly price?: number } {
  if (isProfile(given)) return { hardware: hardwareProfiles[given] };
  if (fs.existsSync(given)) return readHardware(given);
  const names = [...hardwareNames, THIS_MACHINE];
  throw new Error(
    `--hardware ${given}: there is no such file and no such GPU; it must be one of ${names.join(", ")}, or a JSON file (docs/planning.md, Your own hardware).${didYouMean(given, names)}`,
  );
}

/** Parse a number from 0 to 1. */
function shareFromZero(text: string): number {
  const value = parseDecimal(text);
  if (!(value >= 0 && value <= 1)) throw new InvalidArgumentError("It must be a number from 0 to 1.");
  return value;
}

/** Parse a number above 0 and at most 1. */
function fraction(text: string): number {
  const value = parseDecimal(text);
  if (!(value > 0 && value <= 1)) throw new InvalidArgumentError("It must be a number above 0 and at most 1.");
  return value;
}

function zeroStage(text: string): ZeroStage {
  const stage = zeroStages.find((each) => String(each) === text);
  if (stage === undefined) throw new InvalidArgumentError(`It must be one of ${zeroStages.join(", ")}.`);
  return stage;
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
  .addOption(
    new Option(
      "--model <file>",
      "your own model: Hugging Face's config.json, a run's folder, or a file with its sizes",
    ).conflicts("preset"),
  )
  .option("--gpus <n>", "GPUs", wholeNumber(1, MOST_GPUS), 1)
  .option(
    "--hardware <name>",
    `GPU type, with the numbers of its data sheet: ${hardwareNames.join(", ")}; a JSON file with your own numbers; or ${THIS_MACHINE}, which measures this CPU for some seconds`,
    "h800",
  )
  .option("--pipeline <n>", "pipeline stages (default: the fewest that fit)", wholeNumber(1))
  .option("--expert <n>", "GPUs that share a stage's experts (default: the fewest that fit)", wholeNumber(1))
  .option("--tensor <n>", "parts that heads and feed-forward columns are cut into", wholeNumber(1), 1)
  .option("--context-parallel <n>", "parts that each sequence is cut into", wholeNumber(1), 1)
  .addOption(
    new Option(
      "--zero <stage>",
      "ZeRO: what copies share; 0 nothing, 1 the optimizer's states, 2 also gradients, 3 also weights (default: 1)",
    ).argParser(zeroStage),
  )
  .addOption(new Option("--no-sharded", "another name of --zero 0").conflicts("zero"))
  .option("--micro-batch <n>", "sequences of a micro-batch on one GPU", wholeNumber(1), 1)
  .option("--batch <n>", "sequences of a batch on all GPUs (default: the model's, where it is known)", wholeNumber(1))
  .option("--accumulate <n>", "micro-batches of a batch on one GPU (default: as the batch needs)", wholeNumber(1))
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
  .addOption(
    new Option(
      "--compute-efficiency <fraction>",
      "instead of --mfu: share of the peak that computation alone reaches; communication is then added as counted",
    )
      .argParser(fraction)
      .conflicts("mfu"),
  )
  .option("--overlap <fraction>", "share of added communication that hides behind computation", shareFromZero, 0)
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
  .addOption(
    new Option(
      "--scale <counts>",
      "instead of --gpus: simulate the training on each of these numbers of GPUs, such as 256,512,1024",
    )
      .argParser(gpuCounts)
      .conflicts("mesh"),
  )
  .addOption(
    new Option(
      "--mesh <sizes>",
      "instead of GPUs: the bytes of each process of a mesh, such as data=2,pipeline=2, on this machine",
    ).argParser(meshSizes),
  )
  .addOption(
    new Option("--pipeline-schedule <name>", "of --mesh: the order of its passes")
      .choices(scheduleNames)
      .default("1f1b"),
  )
  .option("--pipeline-chunks <v>", "of --mesh, interleaved: pieces of the model in a stage", wholeNumber(1, 64), 2)
  .option("--threads <n>", "of --mesh: threads of each process", wholeNumber(1, 256), 1)
  .option("--svg <file>", "draw memory, the curve of Eq. 20 and the extra time in this file")
  .option("--json", "print the plan as one JSON object")
  .addHelpText(
    "after",
    `
Examples:
  birkhoff plan --preset paper-27b --gpus 256 --hardware h800 --price 2.5
  birkhoff plan --model config.json --hardware h100 --gpus 8 --batch 1024 --tokens 1e12
  birkhoff plan --model ours.json --hardware cluster.json --gpus 512 --zero 3 --tensor 4 --compute-efficiency 0.5
  birkhoff plan --preset paper-3b --gpus 16 --hardware b200 --svg plan.svg
  birkhoff plan --preset paper-9b --gpus 64 --streams 8 --json
  birkhoff plan --preset paper-27b --compile
  birkhoff plan --preset micro --hardware this-machine --tokens 1e7
  birkhoff plan --preset paper-27b --scale 256,512,1024,2048
  birkhoff plan --preset micro --mesh data=2,pipeline=2 --micro-batch 2 --accumulate 4
  birkhoff plan --model runs/mesh --mesh pipeline=2,expert=2`,
  )
  .action(async (all: PlanCommandOptions, command: Command) => {
    if (all.mesh) return await planMesh({ ...all, mesh: all.mesh }, command);
    expectUnused(command, ["pipelineSchedule", "pipelineChunks", "threads"], "without --mesh");
    if (all.scale) {
      if (all.hardware === THIS_MACHINE)
        throw new Error(
          `--scale: --hardware ${THIS_MACHINE} is given, and only GPUs are simulated. Name one of them, or a file.`,
        );
      return planScaling({ ...all, scale: all.scale }, hardwareOf(all.hardware).hardware, command);
    }
    const {
      preset,
      model: place,
      hardware,
      context,
      streams,
      iterations,
      mfu,
      compile,
      json,
      svg,
      sharded,
      mesh: _mesh,
      scale: _scale,
      pipelineSchedule: _schedule,
      pipelineChunks: _chunks,
      threads: _threads,
      ...rest
    } = all;
    const { model: named, notes } = plannedOf({ preset, ...given({ model: place, context }) });
    const connection = {
      ...named.connection,
      streams: streams ?? named.connection.streams,
      iterations: iterations ?? named.connection.iterations,
    };
    const model = { ...named, connection };
    const options = { ...rest, ...given({ utilisation: mfu }), ...(sharded ? {} : { sharded }) };
    const print = (plan: TrainingPlan, compiled?: CompiledSteps): void => {
      const tokens = plan.layout.microBatch * model.context;
      const width = widthOf(process.stdout);
      const text = describePlan(plan, notes, width);
      const whole = compiled ? `${text}\n${describeCompiled(compiled, tokens, width)}\n` : text;
      process.stdout.write(json ? `${JSON.stringify({ ...plan, notes, compiled })}\n` : prose(whole, process.stdout));
      if (svg === undefined) return;
      fs.mkdirSync(path.dirname(svg), { recursive: true });
      fs.writeFileSync(svg, drawPlan(plan));
      process.stderr.write(`Drawn: ${svg}\n`);
    };
    if (hardware !== THIS_MACHINE) {
      const plan = planTraining(model, { ...hardwareOf(hardware), ...options });
      return print(plan, compile ? compileSteps(model, { batch: plan.layout.microBatch }) : undefined);
    }
    // Only the processor's kernels can be timed one by one.
    const runtime = await openRuntime({ runtime: "wasm" });
    try {
      const plan = planTraining(model, { ...options, hardware: await measureMachine(runtime) });
      const measured = hasMeasuredKernels(model);
      if (!compile && !measured) return print(plan);
      const machine = { batch: plan.layout.microBatch, ...given({ machine: runtime.machine }) };
      print(plan, compileSteps(model, measured ? { ...machine, rates: await measureKernels(runtime) } : machine));
    } finally {
      runtime.close();
    }
  });
