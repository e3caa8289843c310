// The study of attention trains each change by itself, every one a configuration that is valid.

import { expect, test } from "vitest";
import { modelSchema } from "../../src/model/config.ts";
import { sizeNames } from "../../src/studies/study.ts";
import { attention } from "../../src/studies/attention.ts";
import { sweepPoints } from "../../src/runs/sweep/definition.ts";

test.each(sizeNames)("at the size %s", (size) => {
  const { axes, where, base } = attention.sizes[size];
  const points = sweepPoints({ axes, ...(where && { where }) });
  const seeds = axes["seed"]!.length;
  expect(points).toHaveLength(9 * seeds);
  const made = points.map(({ values }) => {
    const fields = Object.entries({ ...base, ...values }).flatMap(([key, value]) =>
      key.startsWith("model.") && value !== null ? [[key.slice(6), value]] : [],
    );
    return modelSchema.parse({
      vocabulary: 300,
      context: 16,
      connection: { kind: "residual" },
      ...(Object.fromEntries(fields) as object),
    });
  });
  const different = new Set(
    made.map(({ headMixing, keyValues, valueResidual }) => JSON.stringify([headMixing, keyValues, valueResidual])),
  );
  expect(different.size).toBe(9);
  // Each differs from plain attention in one thing.
  for (const { headMixing, keyValues, valueResidual } of made)
    expect([headMixing, keyValues, valueResidual].filter(Boolean).length).toBeLessThanOrEqual(1);
});
