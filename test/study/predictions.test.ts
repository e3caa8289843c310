// What a trained model says of batches: its loss is the trainer's, and calibration is 0 where probabilities are right.

import { expect, test } from "vitest";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import { createJudge, createPredictor, mostLikely } from "../../src/study/predictions.ts";
import { createTrainer } from "../../src/training/trainer.ts";
import { tinyBatches, tinyTraining } from "../training/tiny.ts";

test("a predictor's bits per byte are those of the trainer's evaluation", async () => {
  const wasm = await createWasmRuntime({ threads: 1 });
  const config = tinyTraining("mhc");
  const batches = tinyBatches(config);
  const trainer = createTrainer(wasm, config, batches);
  for (let step = 0; step < 5; step++) await trainer.trainStep();
  const { bitsPerByte } = await trainer.evaluate();
  const predictor = createPredictor(wasm, config, await trainer.save());
  const judge = createJudge(config.model.vocabulary);
  for (const batch of batches.validationBatches())
    judge.add(await predictor.predict(batch), batch.targets, batch.bytes);
  expect(judge.judgement().bitsPerByte).toBeCloseTo(bitsPerByte, 5);
  predictor.release();
  wasm.close();
});

test("accuracy and calibration are those of counted cases", () => {
  const judge = createJudge(2);
  // p = 0.8 for token 0 in ten rows, of which 8 are right; p = 0.6 in ten rows, of which 3 are right.
  const rows = [...Array.from({ length: 10 }, () => 0.8), ...Array.from({ length: 10 }, () => 0.6)];
  const logs = Float32Array.from(rows.flatMap((p) => [Math.log(p), Math.log(1 - p)]));
  const targets = Int32Array.from(rows, (p, at) => (p === 0.8 ? (at < 8 ? 0 : 1) : at < 13 ? 0 : 1));
  judge.add(logs, targets, 5);
  const { accuracy, calibration, bitsPerByte } = judge.judgement();
  expect(accuracy).toBeCloseTo(11 / 20, 12);
  expect(calibration).toBeCloseTo((10 * 0.3) / 20, 6);
  const bits = -(8 * Math.log2(0.8) + 2 * Math.log2(0.2) + 3 * Math.log2(0.6) + 7 * Math.log2(0.4)) / 5;
  expect(bitsPerByte).toBeCloseTo(bits, 5);
});

test("of equally likely tokens the first is taken", () => {
  expect(mostLikely(Float32Array.of(-3, -1, -1, -2, -9, 0), 0, 3)).toBe(1);
  expect(mostLikely(Float32Array.of(-3, -1, -1, -2, -9, 0), 1, 3)).toBe(2);
});
