// birkhoff inspect: what is in a run folder?

import path from "node:path";
import { Command } from "commander";
import { inactiveParameters } from "../model/mixture.ts";
import { sizeOf } from "../graph/tensor.ts";
import { drawCurves } from "../report/summary.ts";
import { describeMemory, describeSchedule, summarise } from "../runtime/plan/describe.ts";
import { type CompiledPlan, compilePlan } from "../runtime/wasm/compile.ts";
import { createWasmRuntime } from "../runtime/wasm/runtime.ts";
import { latestCheckpoint, loadCheckpoint } from "../training/checkpoint.ts";
import { parseTrainingConfig, type TrainingConfig } from "../training/config.ts";
import { predictStepMemory, resolveRecompute } from "../training/recomputation.ts";
import { describeEvent } from "../training/alarms.ts";
import { openRunFolder, readEvents, readGains, readMetrics } from "../training/run-folder.ts";
import {
  makeStep,
  measureStepMemory,
  planStepMemory,
  type StepMemory,
  withoutMemory,
} from "../training/step-memory.ts";
import { describeSublayers, sublayerRows } from "./sublayers.ts";

export const inspectCommand: Command = new Command("inspect")
  .description(
    "Show a run: configuration, what each sublayer uses, progress, gains by sublayer, tensors of the last checkpoint.",
  )
  .argument("<run>", "a run folder")
  .option("--tensors", "list every tensor with its size and spread")
  .option("--plan", "show the compiled training step: what runs in which phase, what lives where, and its peak memory")
  .option("--json", "print as one JSON object")
  .addHelpText(
    "after",
    "\nExamples:\n  birkhoff inspect runs/sotu-nano-1/manifold --tensors\n  birkhoff inspect runs/sotu-nano-1/manifold --plan",
  )
  .action(async (folder: string, options: { tensors?: boolean; plan?: boolean; json?: boolean }) => {
    const run = openRunFolder(folder);
    const config = parseTrainingConfig(run.config, path.join(folder, "config.json"));
    const metrics = readMetrics(folder);
    const gains = readGains(folder);
    const events = readEvents(folder);
    const place = latestCheckpoint(folder, (message) => process.stderr.write(`warning: ${message}\n`));
    const tensors = place
      ? loadCheckpoint(place.folder).model.map(({ name, shape, data }) => ({ name, shape, ...spread(data) }))
      : [];
    const trained = tensors.filter(({ name }) => !name.endsWith(".routerBias"));
    const total = trained.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
    const parameters = { total, active: Math.max(0, total - inactiveParameters(config.model)) };
    if (options.json) {
      const plan = options.plan
        ? await withPlan(config, ({ phases, memory }, peak) => ({ ...summarise(phases, memory), peak }))
        : undefined;
      process.stdout.write(
        `${JSON.stringify({ folder, config, versions: run.versions, checkpoint: place, last: metrics.at(-1), gains: gains.at(-1), alarms: { number: events.length, last: events.at(-1) }, sublayers: sublayerRows(config.model), parameters, tensors, plan })}\n`,
      );
      return;
    }
    const print = (line: string): void => void process.stdout.write(`${line}\n`);
    const { model, steps } = config;
    const last = metrics.at(-1);
    print(
      `${config.name}: ${model.layers} layers, width ${model.width}, heads ${model.heads}, context ${model.context}, vocabulary ${model.vocabulary}`,
    );
    const active = model.feedForward ? ` (${parameters.active.toLocaleString("en")} active for a token)` : "";
    print(
      `parameters ${total.toLocaleString("en")}${active}; step ${last?.step ?? 0} of ${steps}; checkpoint ${place ? `step ${place.step}` : "none"}`,
    );
    print(describeSublayers(sublayerRows(model)));
    if (last) {
      print(
        `loss ${last.loss.toFixed(4)}, gradient norm ${last.gradientNorm.toFixed(3)}, ${Math.round(last.tokensPerSecond).toLocaleString("en")} tokens/s`,
      );
      const evaluated = metrics.findLast(({ bitsPerByte }) => bitsPerByte !== undefined);
      if (evaluated) print(`validation: ${evaluated.bitsPerByte!.toFixed(4)} bits a byte at step ${evaluated.step}`);
      print(
        `\n${drawCurves([{ name: "training loss", values: metrics.map(({ loss }) => loss) }], { colour: process.stdout.isTTY })}`,
      );
    }
    const alarm = events.at(-1);
    if (alarm) print(`\n${events.length} alarm${events.length > 1 ? "s" : ""}, the last: ${describeEvent(alarm)}`);
    if (last?.expertLoad) {
      const busiest = last.expertLoad.map(
        (load) => (Math.max(...load) * load.length) / load.reduce((a, b) => a + b, 0),
      );
      print(
        `\nbusiest expert at step ${last.step}, in shares of the mean, by mixture: ${busiest.map((x) => x.toFixed(2)).join("  ")}`,
      );
    }
    const gain = gains.at(-1);
    const { single, composite } = gain ?? {};
    if (gain && single && composite) {
      print(`\nAmax gains at step ${gain.step}\nsublayer  single fwd  single bwd  composite fwd  composite bwd`);
      single.forward.forEach((forward, index) =>
        print(
          [
            String((gain.sublayers?.[index] ?? index) + 1).padStart(8),
            forward.toFixed(4).padStart(10),
            single.backward[index]!.toFixed(4).padStart(10),
            composite.forward[index]!.toFixed(4).padStart(13),
            composite.backward[index]!.toFixed(4).padStart(13),
          ].join("  "),
        ),
      );
    }
    if (options.tensors) {
      print("\nmean        deviation   largest     tensor");
      for (const { name, shape, mean, deviation, largest } of tensors) {
        print(
          `${[mean, deviation, largest].map((value) => value.toExponential(3).padEnd(10)).join("  ")}  ${name} [${shape.join(", ")}]`,
        );
      }
    }
    if (options.plan) print(`\n${await withPlan(config, describePlan)}`);
  });

/** What a training step needs, state and arena together. */
interface Peak {
  /** Sublayers between stored states; absent when everything is stored. */
  readonly storeEvery?: number;
  readonly predictedBytes: number;
  readonly measuredBytes: number;
  /** The same step when everything is stored. */
  readonly storedBytes: number;
}

/** Look at the training step as the compiler sees it, and at the memory that one step writes. */
async function withPlan<R>(config: TrainingConfig, look: (plan: CompiledPlan, peak: Peak) => R): Promise<R> {
  const runtime = await createWasmRuntime();
  try {
    const storeEvery = resolveRecompute(config, runtime, config.recompute);
    const plan = compilePlan(makeStep(config, storeEvery).graph.micro, withoutMemory(runtime));
    const total = ({ stateBytes, arenaBytes }: StepMemory): number => stateBytes + arenaBytes;
    const storedBytes = total(planStepMemory(config, runtime));
    const peak = {
      ...(storeEvery === undefined ? {} : { storeEvery }),
      predictedBytes: storeEvery ? total(predictStepMemory(config, runtime).of(storeEvery)) : storedBytes,
      measuredBytes: total(measureStepMemory(runtime, config, storeEvery)),
      storedBytes,
    };
    return look(plan, peak);
  } finally {
    runtime.close();
  }
}

function describePlan({ phases, memory }: CompiledPlan, peak: Peak): string {
  const plan = summarise(phases, memory);
  const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  const { storeEvery, predictedBytes, measuredBytes, storedBytes } = peak;
  return [
    `${plan.calls} kernel calls in ${plan.groups} chains and ${plan.phases} phases, ${(plan.flops / 1e9).toFixed(2)} GFLOP a step`,
    `arena ${mebibytes(plan.arenaBytes)} (${mebibytes(plan.unsharedBytes)} without sharing), state ${mebibytes(plan.stateBytes)}; ${plan.localBuffers} buffers never leave their chain`,
    storeEvery === undefined
      ? "everything the backward pass needs is stored; --recompute auto saves memory"
      : `the state is stored every ${storeEvery} sublayers, what lies between is computed again; ${mebibytes(storedBytes)} if everything were stored`,
    `peak memory of a step: predicted ${mebibytes(predictedBytes)}, measured ${mebibytes(measuredBytes)} (${signed(100 * (predictedBytes / measuredBytes - 1))} %)`,
    "",
    describeSchedule(phases),
    "",
    describeMemory(memory),
  ].join("\n");
}

function signed(value: number): string {
  return `${value < 0 ? "" : "+"}${value.toFixed(2)}`;
}

function spread(data: Float32Array): { mean: number; deviation: number; largest: number } {
  let [sum, squares, largest] = [0, 0, 0];
  for (const value of data) {
    sum += value;
    squares += value * value;
    largest = Math.max(largest, Math.abs(value));
  }
  const mean = sum / data.length;
  return { mean, deviation: Math.sqrt(Math.max(0, squares / data.length - mean * mean)), largest };
}
