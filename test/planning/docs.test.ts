// The numbers in docs/planning.md are those the planner computes.

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { compareOverlap } from "../../src/planning/pipeline/compare.ts";
import { layerTimes, paper27b } from "../../src/planning/pipeline/paper-times.ts";
import { hardwareNames, hardwareProfiles } from "../../src/planning/hardware.ts";
import { planTraining } from "../../src/planning/plan.ts";
import { plannedModel } from "../../src/planning/presets.ts";
import { DEFAULT_UTILISATION } from "../../src/planning/time.ts";
import { withPrefix } from "../../src/basics/show.ts";
import { planAnswer } from "../../src/report/plan-answer.ts";
import { SCHEDULE_SAYS } from "../../src/report/plan-text.ts";
import { PLAN_SAYS } from "../../src/cli/schedule.ts";

const page = readFileSync(new URL("../../docs/planning.md", import.meta.url), "utf8");
/** Cells of the table's rows, by the first one. */
const rows = new Map(
  page
    .split("\n")
    .filter((line) => line.startsWith("| "))
    .map((line) => line.slice(2, -2).split(" | "))
    .map(([first, ...rest]) => [first!, rest]),
);
const planned = (name: string, utilisation = DEFAULT_UTILISATION) =>
  planTraining(plannedModel(name), { hardware: hardwareProfiles.h800, gpus: 64, pipeline: 1, utilisation });
const percent = (fraction: number): string => `${(100 * fraction).toFixed(1)} %`;

test.each(["paper-3b", "paper-9b", "paper-27b"])("the extra time of %s", (name) => {
  const { extra, baseline } = planned(name);
  const again = extra.fused.kernels.recomputation / baseline.secondsPerToken;
  expect(rows.get(name)).toEqual([extra.unfused.fraction, extra.fused.fraction, again].map(percent));
});

test("the extra time at other utilisations", () => {
  const at = (utilisation: number): string => percent(planned("paper-27b", utilisation).extra.fused.fraction);
  expect(page).toContain(`at 0.30 the last row reads ${at(0.3)}, at 0.45 ${at(0.45)}`);
});

test("the parameters of the paper's models", () => {
  const counts = ["paper-3b", "paper-9b", "paper-27b", "paper-3b-1t"].map((name) => planned(name).parameters);
  expect(rows.get("vocabulary")).toEqual(counts.map(({ parts }) => withPrefix(parts.embedding!.total, 4)));
  expect(rows.get("active")).toEqual(counts.map(({ active }) => withPrefix(active, 4)));
  expect(rows.get("total")).toEqual(counts.map(({ total }) => withPrefix(total, 4)));
});

test.each(hardwareNames)("the profile of %s", (key) => {
  const { name, peak, bandwidth, memoryBytes, interconnect } = hardwareProfiles[key];
  const tera = [peak.bf16, peak.tf32, peak.fp32, bandwidth].map((value) => value / 1e12);
  expect(rows.get(name)).toEqual([...tera, memoryBytes / 1e9, interconnect! / 1e9].map(String));
});

test("the sentence of the 27B, and what computation must reach for it", () => {
  const plan = planTraining(plannedModel("paper-27b"), { hardware: hardwareProfiles.h800, gpus: 256, price: 2.5 });
  expect(page).toContain(`\n${planAnswer(plan)}\n`);
  expect(page).toContain(`for \`paper-27b\` on 256 H800s ${percent(plan.step.impliedEfficiency!)}`);
});

test("plan and schedule point to each other with each other's numbers, and the page says where they part", () => {
  const shape = { stages: 8, microBatches: 32, chunks: 1 };
  const [, inTurn, , , both] = compareOverlap(shape, paper27b, 4);
  const [low, high] = [percent(both!.extra), percent(inTurn!.extra)];
  expect(SCHEDULE_SAYS).toContain(`schedule says ${low.replace(" %", "")} to ${high} for paper-27b`);
  const { extra } = planTraining(plannedModel("paper-27b"), { hardware: hardwareProfiles.h800, gpus: 256 });
  const kernels = percent(extra.fused.fraction);
  expect(PLAN_SAYS).toContain(`plan says ${kernels} for this model with 4 streams`);

  const of = (connection: "residual" | "mhc"): number => {
    const { attention, mlp, connection: own } = layerTimes(paper27b, connection).times;
    const blocks = [attention, mlp].flatMap(({ forward, input, weights }) => [forward, input, weights]);
    const once = [own.pre, own.post].flatMap(({ forward, backward }) => [forward, backward]);
    return [...blocks, ...once, ...once, own.recompute].reduce((sum, time) => sum + time, 0);
  };
  const alone = percent(of("mhc") / of("residual") - 1);
  const [, without] = compareOverlap(shape, { ...paper27b, network: 1e15 }, 4);
  const schedules = readFileSync(new URL("../../docs/pipeline.md", import.meta.url), "utf8");
  const table = schedules.slice(schedules.indexOf("### Why plan and schedule differ"));
  const said = [...table.matchAll(/^\| .* \| ([\d.]+ %) \|$/gm)].map(([, share]) => share);
  expect(said).toEqual([kernels, alone, percent(without!.steadyExtra), low, high, "6.7 %"]);
});
