// Question: which programs is a training run made of?
//
// The step (micro, and update where gradients are accumulated) from the start; what evaluates, observes and
// writes when it is first needed. For a runtime they run (trainer.ts); for one that is only planned they tell
// what the run will take (memory-limit.ts), so the two cannot differ.

import { given } from "../basics/given.ts";
import { createParameters, type ParameterSet } from "../graph/parameters.ts";
import { type BatchInputs, batchInputs } from "./inputs.ts";
import type { Tensor } from "../graph/tensor.ts";
import { createGenerator, type Generator } from "../model/generate.ts";
import { languageModel } from "../model/language-model.ts";
import { inPrecision } from "../runtime/precision.ts";
import { alone } from "../runtime/collective/alone.ts";
import type { Collective } from "../runtime/collective/collective.ts";
import { overRanks } from "../runtime/collective/over-ranks.ts";
import { lastingStatesOf } from "../runtime/program.ts";
import type { Program, Runtime } from "../runtime/runtime.ts";
import type { TrainingConfig } from "./config.ts";
import { createObserver, type Observer } from "./observe.ts";
import { wholeParameters } from "./parallel/experts.ts";
import { type Place, type Share, shareOf, sharingOf } from "./parallel/share.ts";
import { buildSharedStep, type SharedStep } from "./parallel/step.ts";
import { resolveRecompute } from "./recomputation.ts";
import {
  buildStep,
  listPrograms,
  type MicroOutputs,
  type StepConfig,
  type StepGraph,
  type StepPrograms,
  type UpdateOutputs,
} from "./step.ts";

/** The loss of a batch without its gradients. */
export interface EvaluationProgram {
  readonly inputs: BatchInputs;
  readonly program: Program<{ readonly loss: Tensor }>;
}

/** The programs of a run over parameters of its own. */
export interface TrainingPrograms {
  readonly parameters: ParameterSet;
  readonly graph: StepGraph;
  /** Sublayers between stored states; undefined when everything is stored. */
  readonly storeEvery: number | undefined;
  readonly micro: Program<MicroOutputs>;
  /** The program that ends a step: `micro` itself unless gradients accumulate. */
  readonly last: Program<UpdateOutputs>;
  /** Whether the two are one. */
  readonly single: boolean;
  /** Of a rank that shares its steps with others: its part of one. */
  readonly shared: { readonly step: SharedStep; readonly share: Share } | undefined;
  evaluation(): EvaluationProgram;
  observer(): Observer;
  /** Writes with `wholeParameters`. */
  generator(): Generator;
  /** The parameters themselves; where ranks share experts, with tensors for all of them, which the generator reads. */
  wholeParameters(): ParameterSet;
  /** Give back all programs and states. */
  release(): void;
}

/**
 * Compile a run's step; the rest is compiled when it is first asked for.
 *
 * @param place the rank and how many there are; of one it is a training alone
 * @param experts the ranks that share experts with this one, where some do; a plan needs none
 */
export function compileTraining(
  machine: Runtime,
  config: StepConfig & Pick<TrainingConfig, "recompute" | "sharded">,
  place: Place = { rank: 0, size: 1 },
  experts: Collective = alone(),
): TrainingPrograms {
  const sharing = sharingOf(place);
  const runtime = sharing ? overRanks(machine, experts) : machine;
  const { batch, accumulate, optimizer, precision, data, sharded } = config;
  const { context } = config.model;
  /** For programs beside the step, which has its precision already. */
  const rounding = inPrecision(runtime, precision);
  const parameters = createParameters();
  const model = languageModel(config.model, parameters, sharing);
  const storeEvery = resolveRecompute(config, runtime.machine, config.recompute);
  const options = { batch, accumulate, optimizer, precision, storeEvery, ...given({ data }) };
  const share = place.size > 1 ? shareOf(config, place) : undefined;
  const shared = share && {
    share,
    step: buildSharedStep(
      model,
      parameters,
      { ...options, batch: share.batch, ...given({ sharded }) },
      share,
      place,
      runtime.machine,
    ),
  };
  const graph = shared?.step ?? buildStep(model, parameters, options);
  const compiled = compileStep(runtime, graph.programs);
  // Its messages are begun between its parts, whose lists take their place at once.
  if (shared) compiled.micro.parts?.();

  let evaluation: EvaluationProgram | undefined;
  let observer: Observer | undefined;
  let generator: Generator | undefined;
  let whole: ParameterSet | undefined;
  const allParameters = (): ParameterSet => (whole ??= sharing ? wholeParameters(parameters) : parameters);
  const makeEvaluation = (): EvaluationProgram => {
    const inputs = batchInputs(config, "evaluation.");
    const { tokens, targets, weights } = inputs;
    const program = rounding.compile({
      outputs: { loss: model.loss(model.hidden(tokens).hidden_NC, targets, weights) },
    });
    return { inputs, program };
  };
  return {
    parameters,
    graph,
    storeEvery,
    shared,
    ...compiled,
    evaluation: () => (evaluation ??= makeEvaluation()),
    observer: () => (observer ??= createObserver(rounding, model, context)),
    generator: () =>
      (generator ??= createGenerator(rounding, sharing ? languageModel(config.model, allParameters()) : model)),
    wholeParameters: allParameters,
    release() {
      for (const each of [compiled.micro, compiled.last, evaluation?.program, observer, generator]) each?.release();
      for (const { tensor } of [...parameters.all, ...(whole?.all ?? []), ...graph.moments]) runtime.forget(tensor);
      for (const state of lastingStatesOf(listPrograms(graph.programs))) runtime.forget(state);
    },
  };
}

/** Compile the one or two programs of a step. */
export function compileStep(
  runtime: Runtime,
  programs: StepPrograms,
): Pick<TrainingPrograms, "micro" | "last" | "single"> {
  if (programs.update)
    return { micro: runtime.compile(programs.micro), last: runtime.compile(programs.update), single: false };
  const micro = runtime.compile(programs.micro);
  return { micro, last: micro, single: true };
}
