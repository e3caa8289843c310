// Question: how do the parameters of a loss follow it?
//
// By an optimizer with clipping, as updates of a program: the gradients of the loss, the norm of all of them together, the
// factor that clips them, and for each parameter its next value and the next values of what the optimizer keeps.
//
// What changes from step to step is one input, schedule [3] = the learning rate and two numbers of the optimizer's own.

import { expectFields, expectList, expectName, type FieldRules } from "../../basics/fields.ts";
import { given } from "../../basics/given.ts";
import { showValue } from "../../basics/show.ts";
import {
  expectParameters,
  type Parameter,
  type ParameterSet,
  type Role,
  roles,
  trainedParameters,
} from "../../graph/parameters.ts";
import { input } from "../../graph/state.ts";
import type { Tensor } from "../../graph/tensor.ts";
import { expectAdamw } from "../../ops/adamw-rules.ts";
import { gradients } from "../../ops/gradients.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { type ClipConfig, expectClip } from "./clipping.ts";
import { type OptimizerStep, optimizerStep } from "./step.ts";
import {
  optimizerEntry,
  type OptimizerKind,
  optimizerKinds,
  type OptimizerRule,
  optimizerSchedule,
  type OptimizerSettings,
  settingsOf,
} from "./table.ts";

type SettingsOf<K extends OptimizerKind> = Omit<Extract<OptimizerRule, { readonly kind?: K }>, "kind">;

/** The settings of each optimizer, all of which have a usual value. */
type OwnSettings = {
  [K in OptimizerKind]: { readonly kind: K } & Partial<SettingsOf<K>>;
}[OptimizerKind];

/** An optimizer by its kind, and what can be chosen of it besides its rate. */
export type OptimizerChoice = OwnSettings & {
  /** λ: what a step takes away of a parameter that decays. Default: the usual one of the optimizer. */
  readonly weightDecay?: number;
  /** Roles of the parameters that decay. Default ["weight"]: norms, embeddings and connections do not. */
  readonly decayed?: readonly Role[];
  /**
   * Largest norm of all gradients together; Infinity or "none" never clips; { kind: "adaptive", … } follows the norms
   * before. Default 1.
   */
  readonly clip?: ClipConfig | "adaptive";
};

/** An optimizer and its rate. */
export type OptimizerOptions = OptimizerChoice & {
  /** The learning rate, or the rate of each step; steps count from 1. Default: the usual one of the optimizer. */
  readonly learningRate?: number | ((step: number) => number);
};

/** A training step, and the numbers that it needs before each run. */
export interface OptimizerUpdates extends OptimizerStep {
  /** What `schedule` must hold for a step; steps count from 1. */
  at(step: number): readonly [rate: number, second: number, third: number];
  /** Write `at(step)` to a runtime. */
  write(runtime: Pick<Runtime, "write" | "readNow">, step: number): void;
}

/** Settings with what was not given as usual; `operation` is who asks. */
export function expectOptimizer(operation: string, options: object): OptimizerSettings {
  const { kind = "adamw", ...chosen } = options as { readonly kind?: OptimizerKind };
  expectName(operation, "kind", kind, optimizerKinds);
  const schemas = settingsOf(kind);
  const rules = Object.fromEntries(Object.keys(schemas).map((name) => [name, "anything"])) as FieldRules<object>;
  expectFields(operation, chosen, rules);
  const asked: Readonly<Record<string, unknown>> = given(chosen);
  const settings = Object.entries(schemas).map(([name, schema]) => {
    if (name === "clip") return [name, expectClip(operation, asked[name] ?? 1)];
    if (name === "decayed" && asked[name] !== undefined) return [name, expectRoles(operation, asked[name])];
    const result = schema.safeParse(asked[name]);
    if (result.success) return [name, result.data];
    throw new RangeError(
      `${operation}: ${name} is ${showValue(asked[name])}; ${result.error.issues[0]?.message ?? "it cannot be"}.`,
    );
  });
  return { ...(kind === "adamw" ? {} : { kind }), ...Object.fromEntries(settings) } as OptimizerSettings;
}

function expectRoles(operation: string, decayed: unknown): readonly Role[] {
  expectList(operation, "decayed", decayed, "roles");
  for (const role of decayed as readonly unknown[]) expectName(operation, "decayed", role, roles);
  return decayed as Role[];
}

/**
 * Train the parameters of a loss: gradients, clipping, and the updates of an optimizer. A step whose gradients have no
 * finite norm changes nothing.
 *
 * @param loss a tensor of one element
 * @param options the optimizer's kind, "adamw", "muon", "lion", "sgd" or "adafactor", and its settings
 * @returns `updates` for `Runtime.compile`; call `write(runtime, step)` before each run of the program
 * @throws ShapeError when the loss is not one element; TypeError for a setting that the optimizer does not have;
 *   RangeError for one that float32 cannot work with, of a learning rate by step from `at` and `write`; Error from the
 *   first `write` when a parameter that starts at random holds zeros, because `initialise` was forgotten
 */
export function optimizerUpdates(parameters: ParameterSet, loss: Tensor, options: OptimizerOptions): OptimizerUpdates {
  if (typeof options !== "object" || options === null || options.kind === undefined)
    throw new TypeError(
      `optimizerUpdates: ${showValue(options)} is given; it must be an object with the optimizer's kind, one of ${optimizerKinds.join(", ")}. Give such as { kind: "muon" }.`,
    );
  return updatesOf("optimizerUpdates", parameters, loss, options);
}

/** The same for any caller; `operation` is its name in messages. */
export function updatesOf(
  operation: string,
  parameters: ParameterSet,
  loss: Tensor,
  { learningRate, ...chosen }: Readonly<Record<string, unknown>> & Pick<OptimizerOptions, "learningRate">,
): OptimizerUpdates {
  expectParameters(operation, parameters);
  const settings = expectOptimizer(operation, chosen);
  const rate = learningRate ?? optimizerEntry(settings.kind).usual.learningRate;
  if (typeof rate !== "number" && typeof rate !== "function")
    throw new TypeError(
      `${operation}: learningRate is ${showValue(rate)}; it must be a number, or a function of the step.`,
    );
  if (typeof rate === "number") expectAdamw(operation, { learningRate: rate });
  const trained = trainedParameters(parameters);
  if (trained.length === 0)
    throw new RangeError(
      `${operation}: the set has no parameters, so nothing would be trained. Create them with parameters.create(…) first.`,
    );
  const schedule = input("schedule", [3]);
  const byParameter = gradients(
    loss,
    trained.map(({ tensor }) => tensor),
  );
  const rateOf = typeof rate === "number" ? () => rate : rate;
  const at = (step: number): readonly [number, number, number] => {
    const now = rateOf(step);
    expectAdamw(`${operation}, step ${step}`, { learningRate: now });
    return optimizerSchedule(now, step, settings);
  };
  let started = false;
  return {
    ...optimizerStep(trained, byParameter, schedule, settings),
    at,
    write(runtime, step) {
      if (!started) expectStarted(operation, runtime, trained);
      started = true;
      runtime.write(schedule, at(step));
    },
  };
}

/** Throw if nobody has written the parameters: a model of zeros would train, and learn nothing. */
function expectStarted(operation: string, runtime: Pick<Runtime, "readNow">, trained: readonly Parameter[]): void {
  const random = trained.find(({ initial }) => "normal" in initial && initial.normal > 0);
  if (random === undefined || runtime.readNow === undefined) return;
  if (runtime.readNow(random.tensor).some((value) => value !== 0)) return;
  throw new Error(
    `${operation}: the parameter "${random.name}" holds only zeros; it must have its first values before the first step. Call initialise(runtime, parameters), or write them.`,
  );
}
