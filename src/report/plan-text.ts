// Question: how is a plan shown in a terminal?

import { learnedMapNames } from "../connections/learned-maps.ts";
import type { ConnectionShape } from "../planning/architecture.ts";
import { TRAINING_FACTOR } from "../planning/flops.ts";
import { type MemoryClass, memoryClasses, type MemoryVariant, memoryVariants } from "../planning/gpu-memory.ts";
import { modelParts } from "../planning/parameters.ts";
import type { TrainingPlan } from "../planning/plan.ts";
import { fusions } from "../planning/roofline.ts";
import type { TrainingTime } from "../planning/time.ts";
import type { CompiledStep, CompiledSteps } from "../planning/compiled-step.ts";
import { showAmount } from "../planning/traffic.ts";
import { type Bar, drawBars } from "./bars.ts";
import { drawTable } from "../basics/table.ts";
import { showBytes, showCount, showMany, showPercent, withPrefix } from "../basics/show.ts";
import { planAnswer, showAmount as showHours } from "./plan-answer.ts";
import { describeStep } from "./plan-step.ts";

const partNames: Readonly<Record<string, string>> = {
  head: "output matrix",
  attentionScores: "attention, scores and sums",
  feedForward: "feed-forward",
  unspecified: "blocks (shapes not public)",
  connection: "mHC's connection",
};

/** Columns of the terminal. */
type Width = number | undefined;

/** A small share, such as that of a single kernel, with one more digit. */
const percent = (share: number): string => showPercent(share, share < 0.01 ? 2 : 1);
/** Why another command says another share; a test holds it to that command. */
export const SCHEDULE_SAYS: string =
  "The command schedule says 8.9 to 12.8 % for paper-27b in a pipeline, where messages of n streams wait for the " +
  "network; here kernels alone are counted against a whole step (docs/pipeline.md, Why plan and schedule differ).";
const NOT_PUBLIC = "not public";

/**
 * The whole plan: the answer first, then tables, and bars for memory.
 *
 * @param notes sentences about the model that was read
 * @param width columns of the terminal
 */
export function describePlan(plan: TrainingPlan, notes: readonly string[] = [], width?: number): string {
  const sections = [
    planAnswer(plan),
    [head(plan), ...notes.map((note) => `  ${note}`)].join("\n"),
    parameters(plan, width),
    operations(plan, width),
    memory(plan, width),
    traffic(plan, width),
    recomputation(plan, width),
    extraTime(plan, width),
    describeStep(plan, width),
    training(plan, width),
    assumptions(plan),
  ];
  return `${sections.join("\n\n")}\n`;
}

function head({ model, hardware, layout, precision }: TrainingPlan): string {
  const { gpus, data, pipeline, expert, tensor, contextParallel, zero, microBatch } = layout;
  const { streams, iterations } = model.connection;
  const rates = `${withPrefix(hardware.peak.bf16)}FLOP/s, ${withPrefix(hardware.bandwidth)}B/s, ${showBytes(hardware.memoryBytes)}`;
  return [
    `${model.name}: ${model.layers} layers (${2 * model.layers} sublayers), width ${model.width}, sequences of ${showCount(model.context)} tokens`,
    `  mHC with n = ${streams} streams and ${iterations} Sinkhorn iterations${mapsText(model.connection)}, against plain residuals`,
    `  ${gpus} × ${hardware.name} (${rates})`,
    `  ${[showMany(pipeline, "pipeline stage"), ...cut(tensor, "tensor part"), ...cut(contextParallel, "part of a sequence", "parts of a sequence"), showMany(data, "copy", "copies")].join(" × ")}, experts shared by ${expert}, ZeRO-${zero}; ${precision} precision; ${showMany(microBatch, "sequence")} a micro-batch`,
  ].join("\n");
}

/** Which maps how many of the sublayers learn, where it is not all of them in all. */
function mapsText({ maps }: ConnectionShape): string {
  if (!maps) return "";
  const kinds = learnedMapNames.filter((name) => maps.includes(name));
  if (kinds.length === 1) return kinds[0] === "none" ? ", without learned maps" : `, learning ${kinds[0]} only`;
  const counts = kinds.map((name) => `${name} in ${maps.filter((each) => each === name).length}`);
  return ` (of ${maps.length} sublayers, maps are learned: ${counts.join(", ")})`;
}

const cut = (parts: number, noun: string, plural?: string): string[] =>
  parts === 1 ? [] : [showMany(parts, noun, plural)];

function parameters({ parameters: { parts, total, active, connectionShare } }: TrainingPlan, width: Width): string {
  const rows = modelParts.flatMap((name) => {
    const part = parts[name];
    return part && part.total > 0
      ? [[partNames[name] ?? name, withPrefix(part.total, 4), withPrefix(part.active, 4)]]
      : [];
  });
  return drawTable(
    [
      ["Parameters", "total", "used by a token"],
      ...rows,
      ["all", withPrefix(total, 4), withPrefix(active, 4)],
      ["mHC's share", percent(connectionShare), ""],
    ],
    { width },
  );
}

function operations({ flops: { parts, forward, training, baseline } }: TrainingPlan, width: Width): string {
  const rows = Object.entries(parts).flatMap(([name, flops]) =>
    flops > 0 ? [[partNames[name] ?? name, flops, TRAINING_FACTOR * flops] as const] : [],
  );
  const all = [
    ...rows,
    ["all", forward, training] as const,
    ["with plain residuals", baseline.forward, baseline.training] as const,
  ];
  return drawTable(
    [
      ["FLOP a token", "forward", "training"],
      ...all.map(([name, once, thrice]) => [name, withPrefix(once, 4), withPrefix(thrice, 4)]),
    ],
    { width },
  );
}

const variantNames = (plan: TrainingPlan): Record<MemoryVariant, string> => ({
  residual: "residual",
  stored: "mHC, all stored",
  recomputed: `mHC, L_r = ${plan.memory.recomputed.storeEvery}`,
});

/** Memory as bars, in the order of the variants. */
export function memoryBars(plan: TrainingPlan): Bar[] {
  return memoryVariants.map((variant) => ({
    label: variantNames(plan)[variant],
    parts: memoryClasses.map((name) => ({ name, value: plan.memory[variant].bytes[name] })),
  }));
}

function memory(plan: TrainingPlan, width: Width): string {
  const { memory: of, layout, hardware } = plan;
  const names = variantNames(plan);
  const row = (name: MemoryClass): string[] => [
    name,
    ...memoryVariants.map((variant) => {
      const bytes = of[variant].bytes[name];
      return Number.isNaN(bytes) ? NOT_PUBLIC : showBytes(bytes);
    }),
  ];
  const stage = layout.pipeline === 1 ? "" : ", fullest stage";
  const table = drawTable(
    [
      [`Memory of a GPU${stage}`, ...memoryVariants.map((variant) => names[variant])],
      ...memoryClasses.map(row),
      ["all", ...memoryVariants.map((variant) => showBytes(of[variant].total))],
      [
        `fits in ${showBytes(hardware.memoryBytes)}`,
        ...memoryVariants.map((variant) => (of[variant].fits ? "yes" : "no")),
      ],
    ],
    { width },
  );
  const advice = plan.reductions
    .slice(0, 2)
    .map(({ change, bytes, fits }) => `  ${change}: ${showBytes(bytes)}${fits ? ", which fits" : ""}`);
  if (advice.length > 0) advice.unshift("mHC does not fit, even with recomputation. What reduces it most:");
  return [table, "", drawBars(memoryBars(plan), showBytes, width), ...advice].join("\n");
}

/** The section on a training step that the compiler has planned for this machine. */
export function describeCompiled(steps: CompiledSteps, tokens: number, width?: number): string {
  const row = (name: string, of: (step: CompiledStep) => string): string[] => [
    name,
    ...memoryVariants.map((variant) => of(steps[variant])),
  ];
  const rows = [
    row("parameters, with experts' biases", ({ parameters }) => withPrefix(parameters, 4)),
    row("operations of the step, FLOP", ({ flops }) => withPrefix(flops, 4)),
    row("kernel calls", ({ calls }) => showCount(calls)),
    row("parameters, moments, inputs", ({ stateBytes }) => showBytes(stateBytes)),
    row("arena", ({ arenaBytes }) => showBytes(arenaBytes)),
    ...(steps.residual.seconds === undefined
      ? []
      : [row("predicted, ms", ({ seconds }) => (1000 * seconds!).toFixed(1))]),
  ];
  const title = `The compiled step, ${showCount(tokens)} tokens, float32`;
  return drawTable([[title, "residual", "mHC, all stored", `mHC, L_r = ${steps.recomputed.storeEvery}`], ...rows], {
    width,
  });
}

function traffic({ traffic: of, model }: TrainingPlan, width: Width): string {
  const { bytes: plain } = of.residual;
  const rows = Object.entries(of).map(([scheme, { total, bytes }]) => [
    scheme,
    showAmount(total.read),
    showAmount(total.write),
    showBytes(bytes),
    `${(bytes / plain).toFixed(1)} ×`,
  ]);
  return drawTable([["Moved forward, a token and sublayer", "read", "written", `C = ${model.width}`, ""], ...rows], {
    width,
  });
}

function recomputation({ recomputation: { curve, best, optimum, sublayers } }: TrainingPlan, width: Width): string {
  const near = curve.filter(({ storeEvery }) => storeEvery <= 2 * best || sublayers % storeEvery === 0).slice(0, 14);
  return [
    drawTable(
      [
        ["Eq. 20: streams stored every L_r", ...near.map(({ storeEvery }) => String(storeEvery))],
        ["C values a token", ...near.map(({ channels }) => String(channels))],
      ],
      { width },
    ),
    `best L_r = ${best} for ${sublayers} sublayers; √(nL/(n+2)) = ${optimum.toFixed(2)}`,
  ].join("\n");
}

function extraTime({ extra, baseline, paperOverhead, message }: TrainingPlan, width: Width): string {
  const microseconds = (seconds: number): string => (seconds * 1e6).toPrecision(3);
  const share = (seconds: number): string => percent(seconds / baseline.secondsPerToken);
  const rows = fusions.map((fusion) => {
    const { kernels, fraction } = extra[fusion];
    return [
      fusion,
      share(kernels.forward),
      share(kernels.backward),
      share(kernels.recomputation),
      percent(fraction),
      microseconds(kernels.total),
    ];
  });
  return [
    drawTable([["Extra time of mHC", "forward", "backward", "again", "of the baseline", "µs a token"], ...rows], {
      width,
    }),
    `the paper: ${percent(paperOverhead)} (n = 4, fused, partly hidden behind communication)`,
    SCHEDULE_SAYS,
    `a message between pipeline stages: ${showBytes(message.residual)} → ${showBytes(message.streams)}`,
  ].join("\n");
}

function training({ baseline, extra, tokens, layout, hardware }: TrainingPlan, width: Width): string {
  const speed = ({ secondsPerToken }: TrainingTime): string => withPrefix(layout.gpus / secondsPerToken);
  const times = [["residual", baseline], ...fusions.map((fusion) => [`mHC, ${fusion}`, extra[fusion].training])] as [
    string,
    TrainingTime,
  ][];
  const priced = baseline.cost !== undefined;
  if (tokens === undefined)
    return [
      drawTable([["Training", "tokens/s"], ...times.map(([name, time]) => [name, speed(time)])], { width }),
      "Give --tokens for the time and cost of a whole run.",
    ].join("\n");
  return drawTable(
    [
      [
        `Training on ${withPrefix(tokens)} tokens`,
        "tokens/s",
        `${hardware.measured ? "machine" : "GPU"} hours`,
        "days",
        ...(priced ? ["cost"] : []),
      ],
      ...times.map(([name, time]) => [
        name,
        speed(time),
        showHours(time.gpuHours!),
        time.days!.toPrecision(3),
        ...(priced ? [showHours(time.cost!)] : []),
      ]),
    ],
    { width },
  );
}

function assumptions({ assumptions: { utilisation, bandwidthEfficiency, covers }, model }: TrainingPlan): string {
  const [who, option] = covers === "training" ? ["the baseline", "--mfu"] : ["computation", "--compute-efficiency"];
  return [
    `Assumed: ${who} reaches ${percent(utilisation)} of the peak (${option}), mHC's kernels ${percent(bandwidthEfficiency)} of the ` +
      "memory's bandwidth (--bandwidth-efficiency), and they overlap with nothing.",
    ...(model.known === "totals"
      ? ["Of this model only totals are public: rounded, and operations without attention's scores."]
      : []),
  ].join("\n");
}
