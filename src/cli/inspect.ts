// birkhoff inspect: show what is in a run folder, or in the connections of a safetensors file.

import fs from "node:fs";
import path from "node:path";
import { Command, Option } from "commander";
import { MOST_ITERATIONS } from "../basics/bounds.ts";
import { showBytes, showPlain, showMany } from "../basics/show.ts";
import { wrapLastColumn } from "../basics/table.ts";
import { given } from "../basics/given.ts";
import { type ConventionName, conventionNames } from "../connections/conventions/table.ts";
import { writeFileAtomically } from "../files/atomic.ts";
import { reason } from "../files/errors.ts";
import { isFolder } from "../files/places.ts";
import { modelParameters } from "../model/language-model.ts";
import { inactiveParameters } from "../model/mixture.ts";
import { parameterCount } from "../graph/parameters.ts";
import { inspectedPage, originOf } from "../report/inspected-page.ts";
import { describeInstruments } from "../report/instruments-text.ts";
import { drawCurves } from "../report/summary.ts";
import { lookOf, prose, widthOf } from "../report/terminal.ts";
import { describeArena, describeSchedule, summarise } from "../runtime/plan/describe.ts";
import type { CompiledPlan } from "../runtime/plan/calls.ts";
import { type Checkpoint, latestCheckpoint, loadModel } from "../runs/checkpoint.ts";
import { parseTrainingConfig, type TrainingConfig } from "../training/config.ts";
import { isCheckpointFolder } from "../study/lint-file.ts";
import { inspectFile } from "../study/inspect.ts";
import {
  type MeasuredRun,
  measureRun,
  type RunText,
  tensorSpreads,
  textOfFile,
  validationText,
} from "../study/inspect-run.ts";
import { expectFit, leastNeed, memoryLimits } from "../planning/here/memory-limit.ts";
import { compileRunStep, type StepPeak } from "../planning/here/compiled-run.ts";
import { planObserving } from "../planning/here/model-memory.ts";
import { describeEvent } from "../training/alarms.ts";
import { formatJson } from "../files/json.ts";
import { readRunData } from "../runs/run-data.ts";
import { describeChange } from "../runs/identity.ts";
import { openRunFolder } from "../runs/run-folder.ts";
import { type MachineOptions, memoryOption, type MemoryOption, runtimeOption, wholeNumber } from "./options.ts";
import { expectChosen, openChosen } from "./runtime.ts";
import { isNetConfig, parseNetConfig } from "../training/net-config.ts";
import { inspectNet } from "./inspect-net.ts";
import { describeSublayers, sublayerRows } from "./sublayers.ts";
import { describeTensors } from "./tensor-table.ts";
import { say, warn } from "./warn.ts";

interface InspectOptions extends MemoryOption, Pick<MachineOptions, "runtime"> {
  readonly tokens?: string;
  readonly convention?: ConventionName;
  readonly iterations?: number;
  readonly tensors?: boolean;
  readonly plan?: boolean;
  readonly static?: boolean;
  readonly out?: string;
  readonly json?: boolean;
}

export const inspectCommand: Command = memoryOption(runtimeOption(new Command("inspect")), "measuring")
  .description(
    "Show a run: its configuration, its progress, and what the instruments measure on its last checkpoint (gains, errors, saturation, spectra, streams). Or show the connections of a safetensors file or of a model on the hub.",
  )
  .argument(
    "<run>",
    "a run folder; or a safetensors file, a folder of shards or hf:owner/name[@revision] with HC or mHC connections",
  )
  .option("--tokens <file>", "measure on the beginning of this text (default: the run's validation text)")
  .addOption(
    new Option(
      "--convention <name>",
      "convention of a safetensors file (default: as its tensor names suggest)",
    ).choices([...conventionNames]),
  )
  .option(
    "--iterations <n>",
    "Sinkhorn-Knopp iterations for a safetensors file (default: 20)",
    wholeNumber(1, MOST_ITERATIONS),
  )
  .option(
    "--static",
    "of a safetensors file: the maps that the biases alone give; φ is not read (default for hf:owner/name)",
  )
  .option("--no-static", "of hf:owner/name: read φ, too, and show the maps of random streams")
  .option("--out <file>", "of a safetensors file: also write a page with heat maps of H_res (HTML)")
  .option("--tensors", "list every tensor with its size and spread")
  .option("--plan", "show the compiled training step: its phases, its buffers and its peak memory")
  .option("--json", "print as one JSON object")
  .addHelpText(
    "after",
    "\nExamples:\n  birkhoff inspect runs/sotu-nano-1/mhc --tensors\n  birkhoff inspect runs/sotu-nano-1/mhc --tokens speech.txt\n  birkhoff inspect runs/sotu-nano-1/mhc --plan\n  birkhoff inspect model.safetensors --convention deepseek-v4\n  birkhoff inspect hf:deepseek-ai/DeepSeek-V4-Flash --out maps.html",
  )
  .action(async (folder: string, options: InspectOptions) => {
    await expectChosen(options);
    if (isCheckpointFolder(folder) || (fs.existsSync(folder) && !isFolder(folder))) return showFile(folder, options);
    expectNone(options, ["convention", "iterations", "static", "out"], "a safetensors file", folder);
    const run = openRunFolder(folder);
    if (isNetConfig(run.config)) {
      expectNone(options, ["tokens", "plan"], "the run of a language model", folder);
      return inspectNet(folder, parseNetConfig(run.config, path.join(folder, "config.json")), options);
    }
    const config = parseTrainingConfig(run.config, path.join(folder, "config.json"));
    // Show whatever can be read of a damaged run: people turn to inspect when something went wrong.
    const { metrics, gains, events, problems } = readRunData(folder);
    problems.forEach(warn);
    const place = latestCheckpoint(folder, warn);
    // Load the model only once it is known that memory suffices for the measurement.
    const checkpoint = place && once(() => loadModel(place.folder));
    const measured = checkpoint && (await measure(folder, config, checkpoint, options));
    const tensors = checkpoint ? tensorSpreads(checkpoint()) : [];
    const total = checkpoint ? parameterCount(modelParameters(config.model)) : 0;
    const parameters = { total, active: Math.max(0, total - inactiveParameters(config.model)) };
    if (options.json) {
      const compiled = options.plan ? await planOf(config, options) : undefined;
      const plan = compiled && { ...summarise(compiled.plan), peak: compiled.peak };
      process.stdout.write(
        `${formatJson({ folder, config, versions: run.versions, changes: run.changes, checkpoint: place, last: metrics.at(-1), gains: gains.at(-1), instruments: measured, alarms: { number: events.length, last: events.at(-1) }, sublayers: sublayerRows(config.model), parameters, tensors, plan })}\n`,
      );
      return;
    }
    const look = lookOf(process.stdout);
    const draw = (text: string): void => void process.stdout.write(`${text}\n`);
    const print = (text: string): void => draw(prose(text, process.stdout));
    const { model, steps } = config;
    const last = metrics.at(-1);
    print(
      `${showPlain(config.name)}: ${showMany(model.layers, "layer")}, width ${model.width}, heads ${model.heads}, context ${model.context}, vocabulary ${model.vocabulary}`,
    );
    const active = model.feedForward ? ` (${parameters.active.toLocaleString("en")} active for a token)` : "";
    print(
      `parameters ${total.toLocaleString("en")}${active}; step ${last?.step ?? 0} of ${steps}; checkpoint ${place ? `step ${place.step}` : "none"}`,
    );
    print(describeSublayers(sublayerRows(model), look.width));
    for (const change of run.changes ?? []) print(`changed by a resume ${showPlain(describeChange(change))}`);
    if (last) {
      print(
        `loss ${decimals(last.loss, 4)}, gradient norm ${decimals(last.gradientNorm, 3)}, ${whole(last.tokensPerSecond)} tokens/s`,
      );
      const evaluated = metrics.findLast(({ bitsPerByte }) => bitsPerByte !== undefined);
      if (evaluated) print(`validation: ${evaluated.bitsPerByte!.toFixed(4)} bits a byte at step ${evaluated.step}`);
      draw(`\n${drawCurves([{ name: "training loss", values: metrics.map(({ loss }) => loss) }], look)}`);
    }
    const alarm = events.at(-1);
    if (alarm) print(`\n${showMany(events.length, "alarm")}, the last: ${describeEvent(alarm)}`);
    if (last?.expertLoad) {
      const busiest = last.expertLoad.map(
        (load) => (Math.max(...load) * load.length) / load.reduce((a, b) => a + b, 0),
      );
      print(
        `\nbusiest expert at step ${last.step}, in shares of the mean, by mixture: ${busiest.map((x) => x.toFixed(2)).join("  ")}`,
      );
    }
    const record = gains.at(-1);
    const names = sublayerRows(model).map(({ layer, role }) => `layers.${layer}.${role}`);
    if (measured) {
      print(`\nstep ${measured.step}, measured on ${showMany(measured.length, "token")} of ${measured.text}`);
      print(describeInstruments(measured.instruments, names, look.width));
    } else if (record) print(`\nrecorded at step ${record.step}\n${describeInstruments(record, names, look.width)}`);
    if (options.tensors) {
      print(`\n${describeTensors(tensors, look.width)}`);
    }
    if (options.plan) {
      const { plan, peak } = await planOf(config, options);
      print(`\n${describePlan(plan, peak, look.width)}`);
    }
  });

/** A dash for what a damaged record lacks. */
const decimals = (value: number | undefined, digits: number): string => value?.toFixed(digits) ?? "–";
const whole = (value: number | undefined): string =>
  value === undefined ? "–" : Math.round(value).toLocaleString("en");

/**
 * Measures on the text of a file, or on the run's validation text. Returns undefined if that text is gone, or if memory
 * is short and the user did not ask for a measurement: the rest can still be shown.
 */
async function measure(
  folder: string,
  config: TrainingConfig,
  load: () => Pick<Checkpoint, "step" | "model">,
  { tokens: file, memory, runtime: chosen }: InspectOptions,
): Promise<MeasuredRun | undefined> {
  const text = textOf(folder, config, file);
  if (!text) return undefined;
  const runtime = await openChosen({ runtime: chosen });
  try {
    const { length } = text.tokens;
    const half = Math.ceil(length / 2);
    try {
      const { machine } = runtime;
      if (machine)
        expectFit(
          `Looking at ${length} tokens`,
          memoryLimits(machine.device, memory),
          (made) => planObserving(config, machine, made[0]?.length ?? length),
          half < length ? [{ option: `--tokens with a text of ${half} tokens`, length: half }] : [],
          "Most of it is the model: free some memory, or allow more with --memory.",
          leastNeed([config.model], 4),
        );
    } catch (error) {
      if (file !== undefined || memory !== undefined) throw error;
      say(`inspect: the checkpoint was not measured: ${reason(error)}`);
      return undefined;
    }
    return await measureRun(runtime, config, load(), text);
  } finally {
    runtime.close();
  }
}

function textOf(folder: string, config: TrainingConfig, file: string | undefined): RunText | undefined {
  try {
    return file === undefined ? validationText(config) : textOfFile(file, folder, config);
  } catch (error) {
    if (file !== undefined) throw new Error(`--tokens: ${reason(error)}`, { cause: error });
    say(
      `inspect: the checkpoint was not measured on its validation text: ${reason(error)}. Give another text: --tokens FILE.`,
    );
    return undefined;
  }
}

async function planOf(
  config: TrainingConfig,
  { memory, runtime: chosen }: InspectOptions,
): ReturnType<typeof compileRunStep> {
  // Only the processor can tell which memory a step writes, so auto means it.
  const runtime = await openChosen({ runtime: chosen === "auto" ? "wasm" : chosen });
  try {
    return await compileRunStep(runtime, config, memory);
  } finally {
    runtime.close();
  }
}

function once<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => (made ??= make());
}

async function showFile(file: string, options: InspectOptions): Promise<void> {
  expectNone(options, ["tokens", "tensors", "plan"], "a run folder", file);
  const { convention, iterations, static: isStatic, out } = options;
  const inspected = inspectFile(file, given({ convention, iterations, static: isStatic }));
  if (out !== undefined) writeFileAtomically(out, await inspectedPage(inspected));
  const { names, conventions, instruments, partOf } = inspected;
  const part =
    partOf === undefined ? "" : `only a part of a checkpoint, it seems: ${partOf}; give the folder with all files\n`;
  process.stdout.write(
    options.json
      ? `${formatJson(inspected)}\n`
      : `${file}: ${showMany(names.length, "connection")}, ${[...new Set(conventions)].join(", ")}\n${prose(originOf(inspected), process.stdout)}\n${part}\n${describeInstruments(instruments, names, widthOf(process.stdout))}\n${out === undefined ? "" : `Page: ${out}\n`}`,
  );
}

function expectNone(
  options: InspectOptions,
  names: readonly (keyof InspectOptions)[],
  meant: string,
  place: string,
): void {
  const given = names.find((name) => options[name] !== undefined);
  if (given === undefined) return;
  throw new Error(`--${given} is for ${meant}, but ${place} is ${isFolder(place) ? "a folder" : "not one"}.`);
}

function describePlan(compiled: CompiledPlan, peak: StepPeak, width: number): string {
  const plan = summarise(compiled);
  const { storeEvery, predictedBytes, measuredBytes, storedBytes } = peak;
  return [
    `${showMany(plan.calls, "kernel call")} in ${showMany(plan.groups, "chain")} and ${showMany(plan.phases, "phase")}, ${(plan.flops / 1e9).toFixed(2)} GFLOP a step`,
    `arena ${showBytes(plan.arenaBytes)} (${showBytes(plan.unsharedBytes)} without sharing), state ${showBytes(plan.stateBytes)}; ${showMany(plan.localBuffers, "buffer")} within a chain`,
    storeEvery === undefined
      ? "everything the backward pass needs is stored; --recompute auto saves memory"
      : `the state is stored every ${storeEvery} sublayers and computed again in between; storing everything would take ${showBytes(storedBytes)}`,
    `peak memory of a step: predicted ${showBytes(predictedBytes)}, measured ${showBytes(measuredBytes)} (${signed(100 * (predictedBytes / measuredBytes - 1))} %)`,
    "",
    wrapLastColumn(describeSchedule(compiled), width),
    "",
    wrapLastColumn(describeArena(compiled), width),
  ].join("\n");
}

function signed(value: number): string {
  return `${value < 0 ? "" : "+"}${value.toFixed(2)}`;
}
