// Names that are not known, and the nearest that are; fields of options in plain JavaScript.

import * as fc from "fast-check";
import { expect, test } from "vitest";
import { expectFields } from "../../src/basics/fields.ts";
import { nearestName } from "../../src/basics/names.ts";
import {
  adamwUpdates,
  attentionResiduals,
  frac,
  gatedResidual,
  hc,
  highway,
  initialValues,
  mhc,
} from "../../src/index.ts";
import { createParameters, openRuntime, parameter } from "../../src/index.ts";
import { createBatches, trainTokenizer } from "../../src/data.ts";
import { parseConnection, createConnection } from "../../src/models.ts";
import { hardwareProfiles, plannedModel, planTraining } from "../../src/planning.ts";
import { measureStart, sinkhornError } from "../../src/study.ts";
import { plannedMachine } from "../../src/runtime.ts";
import { prepareData } from "../../src/runs.ts";
import { parseTrainingConfig } from "../../src/training.ts";
import { sum } from "../../src/ops.ts";

const known = ["data", "steps", "batch", "learning-rate", "warmup", "streams", "residual-map", "evaluate-every", "out"];

test.each([
  ["lr", "learning-rate"],
  ["learning_rate", "learning-rate"],
  ["residualMap", "residual-map"],
  ["stream", "streams"],
  ["seteps", "steps"],
  ["batch-size", "batch"],
  ["max-steps", "steps"],
  ["eval-every", "evaluate-every"],
  ["output", "out"],
  ["xyz", undefined],
  ["", undefined],
])("%s is near %s", (given, nearest) => expect(nearestName(given, known)).toBe(nearest));

test("one letter more, less or changed is near, in any spelling of the case", () => {
  fc.assert(
    fc.property(fc.constantFrom(...known), fc.nat(), fc.constantFrom("", "q"), fc.boolean(), (name, at, put, drop) => {
      const place = at % name.length;
      const changed = name.slice(0, place) + put + name.slice(place + (drop || put === "" ? 1 : 0));
      if (changed.replaceAll("-", "").length < 4) return;
      expect(nearestName(changed.toUpperCase(), known)).toBe(name);
    }),
  );
});

test("fields are told with those that there are", () => {
  const rules = { streams: "number", kind: ["a", "b"], on: "flag" } as const;
  const check = (options: unknown) => (): void =>
    expectFields("op", options as { streams: number; kind: string; on: boolean }, rules);
  expect(check({ streams: 1, kind: undefined, on: true })).not.toThrow();
  expect(check({ stream: 1 })).toThrow(
    'op: there is no option "stream"; there are streams, kind, on. Did you mean "streams"?',
  );
  expect(check({ kind: "A" })).toThrow('op: kind is "A"; it must be one of a, b. Did you mean "a"?');
  expect(check({ on: "yes" })).toThrow('op: on is "yes"; it must be true or false.');
  expect(check({ toString: 1 })).toThrow('there is no option "toString"');
  for (const nothing of [null, 5, "x", [1]]) expect(check(nothing)).toThrow(/^op: .* is given; it must be an object/);
});

/** Plain JavaScript has no types. */
const loose = (call: unknown): ((...args: unknown[]) => unknown) => call as (...args: unknown[]) => unknown;
const model = plannedModel("paper-3b");
const options = { hardware: hardwareProfiles.h100, gpus: 8 };

test.each<[string, () => unknown, RegExp]>([
  ["mhc", () => loose(mhc)({ stream: 8 }), /no option "stream".*Did you mean "streams"\?/],
  ["mhc's map", () => loose(mhc)({ residualMap: "sinkhron" }), /residualMap is "sinkhron".*Did you mean "sinkhorn"\?/],
  ["mhc's convention", () => loose(mhc)({ convention: "deepsek" }), /convention is "deepsek".*"deepseek-v4"/],
  ["mhc's start", () => loose(mhc)({ initialisation: "zeros" }), /initialisation is "zeros".*"zero"/],
  ["mhc's iterations", () => loose(mhc)({ iterations: -1 }), /iterations is -1/],
  ["hc", () => loose(hc)({ dynamc: true }), /Did you mean "dynamic"/],
  ["frac", () => loose(frac)({ fraction: 2 }), /Did you mean "fractions"/],
  ["highway", () => loose(highway)({ bais: 2 }), /Did you mean "bias"/],
  ["attentionResiduals", () => loose(attentionResiduals)({ block: 2 }), /Did you mean "blockSize"/],
  ["gatedResidual", () => loose(gatedResidual)({ ranks: 2 }), /Did you mean "rank"/],
  ["createConnection", () => loose(createConnection)({ kind: "mhcc" }), /kind is "mhcc".*"mhc"/],
  ["parseConnection", () => parseConnection({ kind: "mHC", streem: 2 }), /no field streem.*"streams"/],
  ["a sublayer", () => loose(mhc().sublayer)(createParameters(), { channel: 4, index: 0 }), /"channels"/],
  [
    "initial values",
    () => loose(createParameters().create)("w", [2], { fill: 1 }, "weight"),
    /no kind of initial values "fill"; there are normal, constant, values/,
  ],
  [
    "initialValues",
    () => loose(initialValues)({ name: "w", tensor: parameter("w", [2]), initial: { fill: 1 } }, 1),
    /must be one of constant, values, normal/,
  ],
  ["a role", () => loose(createParameters().create)("w", [2], { constant: 0 }, "weigth"), /"weight"/],
  [
    "adamwUpdates",
    () => {
      const parameters = createParameters();
      const w = parameters.create("w", [2], { constant: 0 }, "weight");
      return loose(adamwUpdates)(parameters, sum(w), { lr: 1 });
    },
    /no option "lr".*"learningRate"/,
  ],
  ["createBatches", () => loose(createBatches)({ batch: 1 }), /no option "batch".*"batchSize"/],
  ["trainTokenizer", () => loose(trainTokenizer)([], { vocabSize: 300 }), /"vocabularySize"/],
  ["measureStart", () => loose(measureStart)(mhc(), { dept: 3 }), /"depth"/],
  ["sinkhornError", () => loose(sinkhornError)({ iteration: 3, scale: 1 }), /"iterations"/],
  ["plannedMachine", () => loose(plannedMachine)({ thread: 3 }), /"threads"/],
  ["planTraining's options", () => loose(planTraining)(model, { ...options, gpu: 8 }), /no option "gpu".*"gpus"/],
  ["planTraining's model", () => loose(planTraining)({ ...model, layer: 3 }, options), /no field layer.*"layers"/],
  [
    "planTraining's attention",
    () =>
      loose(planTraining)(
        { ...model, attention: { kind: "grouped", heads: 32, keyValueHeads: 32, headSize: 128 } },
        options,
      ),
    /attention\.kvHeads: nothing is given[^]*no field keyValueHeads.*kvHeads/,
  ],
  [
    "planTraining's hardware",
    () => loose(planTraining)(model, { ...options, hardware: { ...options.hardware, memory: 1 } }),
    /no field of hardware "memory".*"memoryBytes"/,
  ],
  ["a model to plan", () => plannedModel("paper27b"), /Did you mean "paper-27b"/],
  ["a configuration", () => parseTrainingConfig({ optimser: {} }), /no field optimser.*"optimizer"/],
])("plain JavaScript is told of a mistake: %s", (_, call, message) => expect(call).toThrow(message));

test.each<[string, () => Promise<unknown>, RegExp]>([
  ["openRuntime", () => loose(openRuntime)({ runtim: "wasm" }) as Promise<unknown>, /no option "runtim".*"runtime"/],
  ["a runtime", () => loose(openRuntime)({ runtime: "wsm" }) as Promise<unknown>, /runtime is "wsm".*"wasm"/],
  ["threads of the reference", () => openRuntime({ runtime: "reference", threads: 3 }), /has no option "threads"/],
  ["prepareData", () => loose(prepareData)({ sources: "a" }) as Promise<unknown>, /no option "sources".*"source"/],
])("and where a promise answers: %s", async (_, call, message) => {
  await expect(call()).rejects.toThrow(message);
});

test("a program that is none, and values that are none", async () => {
  const runtime = await openRuntime({ runtime: "reference" });
  const w = parameter("w", [2]);
  expect(() => loose(runtime.compile)({})).toThrow(/compile: outputs are missing/);
  expect(() => loose(runtime.compile)({ outputs: { a: 3 } })).toThrow(
    /the output "a" is a number; it must be a tensor/,
  );
  expect(() => loose(runtime.compile)({ outputs: {}, update: [] })).toThrow(/"updates"/);
  expect(() => loose(runtime.compile)({ outputs: {}, updates: [[w]] })).toThrow(/update 0 is no pair of tensors/);
  expect(() => loose(runtime.write)(w, undefined)).toThrow(/write: no values are given for w; it must be a list of 2/);
  runtime.close();
});
