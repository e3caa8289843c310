// Question: how is one step of a plan shown: its parts, what GPUs receive, and what of that is in the assumed share?

import { type Communication, communicationKinds } from "../planning/communication.ts";
import type { TrainingPlan } from "../planning/plan.ts";
import type { StepTime } from "../planning/step.ts";
import { drawTable } from "../basics/table.ts";
import { showBytes, showCount, showMany, showPercent, withPrefix } from "../basics/show.ts";

const kindNames: Readonly<Record<Communication["kind"], string>> = {
  gradients: "gradients, among copies",
  weights: "weights, among copies",
  experts: "experts, tokens there and back",
  tensor: "tensor parallel, activations",
  context: "context parallel, keys and values",
  pipeline: "pipeline, between stages",
};

const seconds = (value: number): string => (value === 0 ? "0" : value.toPrecision(3));

/** The section on a step. */
export function describeStep(plan: TrainingPlan, width?: number): string {
  const { step, layout, assumptions } = plan;
  const { residual, mhc } = step;
  const of = (time: StepTime, kind: Communication["kind"]): Communication | undefined =>
    time.communication.find((each) => each.kind === kind);
  const used = communicationKinds.filter((kind) => of(residual, kind) ?? of(mhc, kind));
  const communication = used.map((kind) => {
    const [plain, streams] = [of(residual, kind), of(mhc, kind)];
    const received = plain ?? streams!;
    return [
      kindNames[kind],
      showBytes(received.bytes),
      received.networkBytes > 0 ? showBytes(received.networkBytes) : "",
      seconds(plain?.seconds ?? 0),
      seconds(streams?.seconds ?? 0),
    ];
  });
  const row = (name: string, value: (time: StepTime) => number): string[] => [
    name,
    "",
    "",
    seconds(value(residual)),
    seconds(value(mhc)),
  ];
  const counted = assumptions.covers === "computation";
  const table = drawTable(
    [
      [`A step of ${withPrefix(step.tokens)} tokens`, "received", "by network", "seconds", "with mHC"],
      ...communication,
      row(counted ? "computation" : "computation, all that MFU covers", ({ computation }) => computation),
      row("mHC's kernels, fused", ({ kernels }) => kernels),
      ...(used.length > 0 ? [row("communication beside it", ({ beside }) => beside)] : []),
      ...(layout.pipeline > 1 && counted ? [row("idle in the pipeline", ({ bubble }) => bubble)] : []),
      row("the step", (time) => time.seconds),
    ],
    { width },
  );
  return [batch(plan), "", table, ...explanation(plan)].join("\n");
}

function batch({ layout, model }: TrainingPlan): string {
  const { accumulate, microBatch, data, batch } = layout;
  const usual = model.known === "shapes" ? model.training?.batch : undefined;
  const rounded = usual !== undefined && usual !== batch ? ` (the model's own has ${showCount(usual)})` : "";
  return `A batch of ${showMany(batch, "sequence")}${rounded}: ${accumulate === 1 ? "1 micro-batch" : `${showCount(accumulate)} micro-batches, their gradients accumulated,`} of ${microBatch} on ${data === 1 ? "1 copy" : `each of ${showCount(data)} copies`}.`;
}

function explanation({ step, assumptions, layout, model }: TrainingPlan): string[] {
  const { utilisation, covers, overlap } = assumptions;
  const hidden = overlap > 0 ? `; ${showPercent(overlap)} of it hides behind computation (--overlap)` : "";
  const unknown =
    model.known === "totals" && layout.expert > 1
      ? ["The experts' messages are not counted: how many a token uses is not public."]
      : [];
  if (covers === "computation")
    return [
      `Computation at ${showPercent(utilisation)} of the peak and all communication beside it${hidden}: MFU ${showPercent(step.residual.mfu)} with plain residuals, ${showPercent(step.mhc.mfu)} with mHC.`,
      ...unknown,
    ];
  const { impliedEfficiency = utilisation } = step;
  const all = step.residual.communication.reduce((sum, each) => sum + each.seconds, 0);
  if (all === 0) return unknown;
  const needs =
    impliedEfficiency > 1
      ? "which is out of reach if none of it hides behind computation"
      : `so that computation itself must reach ${showPercent(impliedEfficiency)}`;
  const also = step.residual.beside > 0 ? " Tensor and context parallelism, ZeRO-2 and ZeRO-3 come on top." : "";
  return [
    `The assumed MFU of ${showPercent(utilisation)} covers gradients, ZeRO-1, experts and pipeline, ${needs}${hidden}.${also}`,
    "--compute-efficiency 0.5 adds all of it to computation at half the peak instead.",
    ...unknown,
  ];
}
