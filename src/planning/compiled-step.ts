// Question: what does the compiler plan for the training step of a model of any size?
//
// The planner's other counts are formulas over shapes. Here the model's graph is built, differentiated and
// compiled as for a run of it on the CPU runtime, and the plan is read instead of being run: kernel calls,
// operations, and bytes in float32. Nothing is allocated, so the paper's models of 3 to 27 billion parameters
// are compiled in seconds. All counts are JavaScript numbers, exact to 2^53; only a program that is written
// into a runtime's memory needs 32-bit words.

import { expectPlannedModel } from "./check-model.ts";
import { expectFields } from "../basics/fields.ts";
import { given } from "../basics/given.ts";
import { sizeOf } from "../graph/tensor.ts";
import { learnedMapNames } from "../connections/learned-maps.ts";
import type { ModelConfig, ModelSize } from "../model/config.ts";
import { sublayerRoles } from "../model/overrides.ts";
import { plannedMachine } from "../runtime/machines.ts";
import type { Machine } from "../runtime/plan/machine.ts";
import { chooseRecompute, type StepMemory } from "../training/recomputation.ts";
import type { TrainingConfig } from "../training/config.ts";
import { makeStep, type StepConfig } from "../training/step.ts";
import { sumBytes } from "../runtime/plan/calls.ts";
import { compilePlan, withoutMemory } from "../runtime/plan/compile.ts";
import { type Architecture, denseHidden, type PlannedModel, sublayerMaps, valueSizeOf } from "./architecture.ts";
import type { MemoryVariant } from "./gpu-memory.ts";
import { planSeconds, type KernelRates, type PlannedConnection, stepConfig } from "./step-time.ts";

/** What one compiled step takes. */
export interface CompiledStep extends StepMemory {
  /** Numbers of the model; with experts also the biases that balance them. */
  readonly parameters: number;
  /** Floating-point operations of the step: forward, backward, what is computed again, clipping and AdamW. */
  readonly flops: number;
  /** Kernel calls. */
  readonly calls: number;
  /** Sublayers between stored states; undefined when everything is stored. */
  readonly storeEvery?: number;
  /** Predicted; undefined without the rates of the kernels. */
  readonly seconds?: number;
}

/** The steps of a model with plain residuals, and with mHC without and with recomputation. */
export type CompiledSteps = Readonly<Record<MemoryVariant, CompiledStep>>;

/** What a step is compiled for. */
export interface CompileStepsOptions {
  /** Sequences of a step. Default 1. */
  readonly batch?: number;
  /** Default: one thread, and panels of 16 columns. */
  readonly machine?: Machine;
  /** Of this machine's kernels, to predict seconds. */
  readonly rates?: KernelRates;
}

/** A model whose shapes are all known, as the configuration of a model that could train here. */
function modelSize(model: Architecture): ModelSize & Pick<ModelConfig, "vocabulary"> {
  const { context, width, layers, vocabulary, attention, feedForward } = model;
  const { heads } = attention;
  return {
    context,
    width,
    layers,
    vocabulary,
    heads,
    kvHeads: attention.kind === "grouped" ? attention.kvHeads : heads,
    hidden: denseHidden(model),
    ...(attention.kind === "latent"
      ? {
          attention: {
            kind: "mla" as const,
            rank: attention.rank,
            rotarySize: attention.rotarySize,
            contentSize: attention.headSize,
            valueSize: valueSizeOf(attention),
            ...given({ queryRank: attention.queryRank }),
          },
        }
      : {}),
    ...(feedForward.kind === "experts"
      ? {
          feedForward: {
            kind: "moe" as const,
            experts: feedForward.routed,
            active: feedForward.active,
            shared: feedForward.shared,
            hidden: feedForward.hidden,
            denseLayers: feedForward.leadingDense,
            balanceRate: 1e-3,
          },
        }
      : {}),
  };
}

/** The sizes of a model whose programs can be built here; throws a RangeError for another. */
function buildableSize(operation: string, model: PlannedModel): ReturnType<typeof modelSize> {
  expectPlannedModel(operation, model);
  if (model.known !== "shapes")
    throw new RangeError(
      `${model.name} cannot be compiled: its attention is of a kind that this library's models do not have, and not all sizes of its blocks are public. What is known of it is planned by formulas.`,
    );
  if (model.tied)
    throw new RangeError(
      `${model.name} cannot be compiled: its output matrix is its embedding, and models built here have two. Give it without tied, or plan it without compiling.`,
    );
  return modelSize(model);
}

/** The mHC of a model's sublayers as a configuration has it. */
function connectionOf(model: PlannedModel): PlannedConnection {
  const { streams, iterations } = model.connection;
  const mhc = { kind: "mhc" as const, streams, iterations };
  if (!model.connection.maps) return mhc;
  const all = sublayerMaps(model);
  const overrides = learnedMapNames
    .filter((maps) => maps !== "all")
    .flatMap((maps) =>
      sublayerRoles.map((role, at) => ({
        role,
        layers: Array.from({ length: model.layers }, (_, layer) => layer).filter(
          (layer) => all[2 * layer + at] === maps,
        ),
        connection: { ...mhc, maps },
      })),
    );
  return { default: mhc, overrides: overrides.filter(({ layers }) => layers.length > 0) };
}

/**
 * A training of a model with mHC as it would run here, with AdamW in float32.
 *
 * @param batch sequences of a step
 * @throws RangeError for a model whose blocks are not public or not of the kinds that can be built here
 */
export function trainingStep(model: PlannedModel, batch: number): StepConfig & Pick<TrainingConfig, "recompute"> {
  return stepConfig(buildableSize("trainingStep", model), connectionOf(model), batch);
}

/**
 * Compile the training steps of a model: with plain residuals, and with mHC. Bytes are exactly those a run
 * would have. Nothing is allocated or run.
 *
 * @throws RangeError for a model whose blocks are not public or not of the kinds that can be built here
 */
export function compileSteps(model: PlannedModel, options: CompileStepsOptions = {}): CompiledSteps {
  expectFields("compileSteps", options, { batch: "number", machine: "group", rates: "group" });
  const { batch = 1, machine = plannedMachine(), rates } = options;
  const size = buildableSize("compileSteps", model);
  const residual = stepConfig(size, { kind: "residual" }, batch);
  const mhc = stepConfig(size, connectionOf(model), batch);
  const compiled = (config: StepConfig, storeEvery?: number): CompiledStep => {
    const { parameters, graph } = makeStep(config, storeEvery);
    const nothing = withoutMemory();
    const plan = compilePlan(graph.programs.micro, machine, nothing);
    return {
      parameters: parameters.all.reduce((sum, { tensor }) => sum + sizeOf(tensor.shape), 0),
      stateBytes: sumBytes(nothing.states.values()),
      arenaBytes: plan.arena.bytes,
      flops: plan.calls.reduce((sum, call) => sum + call.flops, 0),
      calls: plan.calls.length,
      ...given({ storeEvery }),
      ...(rates === undefined ? {} : { seconds: planSeconds(plan, rates) }),
    };
  };
  return {
    residual: compiled(residual),
    stored: compiled(mhc),
    recomputed: compiled(mhc, chooseRecompute(mhc, machine)),
  };
}

/** Whether seconds can be predicted: only the kernels of plain attention and SwiGLU are measured. */
export function hasMeasuredKernels(model: PlannedModel): boolean {
  return model.known === "shapes" && model.attention.kind === "grouped" && model.feedForward.kind === "dense";
}
