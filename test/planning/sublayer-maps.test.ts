// What a plan counts of a model whose sublayers learn different maps, against the model itself.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { expect, test } from "vitest";
import { createParameters, parameterCount } from "../../src/graph/parameters.ts";
import { input } from "../../src/graph/state.ts";
import { ancestors, flopsOf } from "../../src/graph/tensor.ts";
import { modelSchema, presets } from "../../src/model/config.ts";
import { languageModel } from "../../src/model/language-model.ts";
import { compileSteps } from "../../src/planning/compiled-step.ts";
import { countFlops } from "../../src/planning/flops.ts";
import { peakMemory, precisions, stageMemories } from "../../src/planning/gpu-memory.ts";
import { hardwareProfiles } from "../../src/planning/hardware.ts";
import { readPlannedModel } from "../../src/planning/here/model-file.ts";
import { countParameters } from "../../src/planning/parameters.ts";
import { planTraining } from "../../src/planning/plan.ts";
import { plannedModel } from "../../src/planning/presets.ts";
import { connectionTime } from "../../src/planning/roofline.ts";
import { describePlan } from "../../src/report/plan-text.ts";
import { plannedMachine } from "../../src/runtime/machines.ts";
import { compilePlan, withoutMemory } from "../../src/runtime/plan/compile.ts";
import { sumBytes } from "../../src/runtime/plan/calls.ts";
import { stepConfig } from "../../src/planning/step-time.ts";
import { makeStep } from "../../src/training/step.ts";

const size = { ...presets.nano, vocabulary: 256 };
const mhc = { kind: "mhc", streams: 4, iterations: 20 };

const connections: readonly (readonly [string, object])[] = [
  ["all", mhc],
  ["in a layer", { ...mhc, at: "0" }],
  ["in attention, three streams", { ...mhc, streams: 3, at: "attention" }],
  ["pre", { ...mhc, maps: "pre" }],
  ["pre-post", { ...mhc, maps: "pre-post" }],
  ["res", { ...mhc, maps: "res" }],
  ["none", { ...mhc, maps: "none" }],
  [
    "each its own",
    {
      default: mhc,
      overrides: [
        { layers: "0", connection: { ...mhc, maps: "post-res" } },
        { layers: "last", role: "attention", connection: { ...mhc, maps: "post" } },
      ],
    },
  ],
];

function planned(connection: object) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "maps-"));
  try {
    const file = path.join(folder, "ours.json");
    fs.writeFileSync(file, JSON.stringify({ ...size, connection }));
    return readPlannedModel(file);
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

const operations = ["streamProjection", "manifoldCoefficients", "streamRead", "streamWrite", "sinkhorn"];

test.each(connections)("%s: parameters, operations and bytes are the model's own", (_, connection) => {
  const { model, notes } = planned(connection);
  expect(notes).toEqual([]);
  const parameters = createParameters();
  const own = modelSchema.parse({ ...size, connection });
  const language = languageModel(own, parameters);
  expect(countParameters(model).total).toBe(parameterCount(parameters));

  const tokens = input("tokens", [1, size.context], "i32");
  const nodes = ancestors([language.loss(language.hidden(tokens).hidden_NC, tokens)]);
  const real = nodes
    .filter(({ op }) => operations.includes(op.name))
    .reduce((sum, node) => sum + flopsOf(node) / size.context, 0);
  const { connection: counted } = countFlops(model).parts;
  // What a sublayer does to the logits of maps that it leaves out is composed of operations that others have, too.
  expect(counted).toBeGreaterThanOrEqual(real - 1e-6);
  expect(counted).toBeLessThan(1.02 * real);

  const config = stepConfig(size, own.connection as Parameters<typeof stepConfig>[1], 1);
  const { micro } = makeStep(config).graph.programs;
  const nothing = withoutMemory();
  const plan = compilePlan(micro, plannedMachine(), nothing);
  const { stored } = compileSteps(model);
  expect(stored.arenaBytes).toBe(plan.arena.bytes);
  expect(stored.stateBytes).toBe(sumBytes(nothing.states.values()));
  expect(stored.flops).toBe(plan.calls.reduce((sum, call) => sum + call.flops, 0));
});

test("fewer maps take less of everything; stages share what there is", () => {
  const paper = plannedModel("paper-3b");
  const count = 2 * paper.layers;
  const learning = (maps: (index: number) => "all" | "pre" | "none") => ({
    ...paper,
    connection: { ...paper.connection, maps: Array.from({ length: count }, (_, index) => maps(index)) },
  });
  const some = learning((index) => (index < 4 ? "all" : index < 6 ? "pre" : "none"));
  const layout = planTraining(paper, { hardware: hardwareProfiles.h800, gpus: 4, pipeline: 4 }).layout;
  const options = { fusion: "fused", streamBytes: 2, tokens: 4096, bandwidthEfficiency: 1 } as const;
  const time = (model: typeof paper) => connectionTime(model, hardwareProfiles.h800, options).total;
  const bytes = (model: typeof paper) => peakMemory(model, layout, precisions.mixed, "stored").total;
  const none = learning(() => "none");
  expect(time(learning(() => "all"))).toBe(time(paper));
  expect(bytes(learning(() => "all"))).toBe(bytes(paper));
  expect(time(some)).toBeLessThan(time(paper));
  expect(time(none)).toBeLessThan(time(some));
  expect(countParameters(none).parts.connection.total).toBe(0);
  const stages = (model: typeof paper) => stageMemories(model, layout, precisions.mixed, "stored");
  // Three layers a stage: only those of the first stage learn something.
  const weights = (model: typeof paper) => stages(model).map(({ bytes: { weights: held } }) => held);
  expect(weights(some)[0]).toBeGreaterThan(weights(none)[0]!);
  expect(weights(some).slice(1)).toEqual(weights(none).slice(1));
});

test("the text says which maps are learned; what is not counted is noted", () => {
  const text = (connection: object): string => {
    const { model, notes } = planned(connection);
    return describePlan(planTraining(model, { hardware: hardwareProfiles.h800, gpus: 1 }), notes, 100);
  };
  expect(text({ ...mhc, maps: "pre-post" })).toContain("learning pre-post only");
  expect(text({ ...mhc, at: "0" })).toMatch(/of 8 sublayers, maps are learned: all in 2, none in 6/);
  expect(planned({ ...mhc, residualMap: "cayley" }).notes.join()).toMatch(/says of residualMap is not counted/);
  const model = plannedModel("nano");
  expect(() => countParameters({ ...model, connection: { ...model.connection, maps: ["all"] } })).toThrow(
    /1 are given; there must be one for each sublayer/,
  );
});
