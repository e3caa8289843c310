// Question: which programs is a training run made of?
//
// The step (micro, and update where gradients are accumulated) from the start; what evaluates, observes and
// writes when it is first needed. For a runtime they run (trainer.ts); for one that is only planned they tell
// what the run will take (memory-limit.ts), so the two cannot differ.

import { createParameters, type ParameterSet } from "../graph/parameters.ts";
import { input } from "../graph/state.ts";
import type { Tensor } from "../graph/tensor.ts";
import { createGenerator, type Generator } from "../model/generate.ts";
import { languageModel } from "../model/language-model.ts";
import type { Program, ProgramSpec, Runtime } from "../runtime/program.ts";
import type { Machine } from "../runtime/wasm/layout.ts";
import type { TrainingConfig } from "./config.ts";
import { createObserver, type Observer } from "./observe.ts";
import { resolveRecompute } from "./recomputation.ts";
import { buildStep, type StepGraph } from "./step.ts";

/** What programs are compiled for and by. */
export interface TrainingRuntime<P extends Program> extends Runtime, Machine {
  compile(spec: ProgramSpec): P;
}

/** The loss of a batch without its gradients. */
export interface EvaluationProgram {
  readonly tokens: Tensor;
  readonly targets: Tensor;
  readonly program: Program;
}

/** The programs of a run over parameters of its own. */
export interface TrainingPrograms<P extends Program> {
  readonly parameters: ParameterSet;
  readonly graph: StepGraph;
  /** Sublayers between stored states; undefined when everything is stored. */
  readonly storeEvery: number | undefined;
  readonly micro: P;
  readonly update: P | undefined;
  evaluation(): EvaluationProgram;
  observer(): Observer;
  generator(): Generator;
  /** Give back all programs and states. */
  release(): void;
}

/** Compile a run's step; the rest is compiled when it is first asked for. */
export function compileTraining<P extends Program>(
  runtime: TrainingRuntime<P>,
  config: Pick<TrainingConfig, "model" | "batch" | "accumulate" | "optimizer" | "recompute">,
): TrainingPrograms<P> {
  const { batch, accumulate, optimizer } = config;
  const { context } = config.model;
  const parameters = createParameters();
  const model = languageModel(config.model, parameters);
  const storeEvery = resolveRecompute(config, runtime, config.recompute);
  const graph = buildStep(model, parameters, { batch, accumulate, optimizer, storeEvery });
  const micro = runtime.compile(graph.micro);
  const update = graph.update && runtime.compile(graph.update);

  let evaluation: EvaluationProgram | undefined;
  let observer: Observer | undefined;
  let generator: Generator | undefined;
  const makeEvaluation = (): EvaluationProgram => {
    const tokens = input("evaluation.tokens", [batch, context], "i32");
    const targets = input("evaluation.targets", [batch, context], "i32");
    const program = runtime.compile({ outputs: { loss: model.loss(model.hidden(tokens).hidden_NC, targets) } });
    return { tokens, targets, program };
  };
  return {
    parameters,
    graph,
    storeEvery,
    micro,
    update,
    evaluation: () => (evaluation ??= makeEvaluation()),
    observer: () => (observer ??= createObserver(runtime, model, context)),
    generator: () => (generator ??= createGenerator(runtime, model)),
    release() {
      for (const each of [micro, update, evaluation?.program, observer, generator]) each?.release();
      for (const { tensor } of [...parameters.all, ...graph.moments]) runtime.forget(tensor);
      for (const [state] of [graph.micro, graph.update].flatMap((spec) => spec?.updates ?? [])) runtime.forget(state);
    },
  };
}
