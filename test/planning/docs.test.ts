// The numbers in docs/planning.md are those the planner computes.

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { hardwareNames, hardwareProfiles } from "../../src/planning/hardware.ts";
import { planTraining } from "../../src/planning/plan.ts";
import { plannedModel } from "../../src/planning/presets.ts";
import { DEFAULT_UTILISATION } from "../../src/planning/time.ts";
import { withPrefix } from "../../src/basics/show.ts";

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
