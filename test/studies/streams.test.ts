// The shapes of the study of streams need the same operations a token, as their graphs count them.

import { expect, test } from "vitest";
import { modelSchema } from "../../src/model/config.ts";
import { sweepPoints } from "../../src/runs/sweep/definition.ts";
import { sizeNames } from "../../src/studies/study.ts";
import { countedOperations, streams } from "../../src/studies/streams.ts";

test.each(sizeNames)("%s: the pairs of each shape need the same operations within 2 %", (size) => {
  const { base } = streams.sizes[size];
  const points = sweepPoints(streams.sizes[size]).filter(
    ({ values }) => values["seed"] === 1 && ["residual", "mhc"].includes(String(values["connection"])),
  );
  const counted = points.map(({ values }) => ({
    values,
    operations: countedOperations({
      model: modelSchema.parse({
        vocabulary: base["vocabulary"],
        context: base["context"],
        heads: 2,
        kvHeads: 2,
        width: values["model.width"],
        layers: values["model.layers"],
        hidden: values["model.hidden"],
        connection: { kind: values["connection"] },
      }),
    }),
  }));
  // mHC with the residual model's blocks is there too; it needs more than its equal.
  const equal = counted.filter(
    ({ values }) =>
      !counted.some(
        (other) =>
          other.values["model.layers"] === values["model.layers"] &&
          other.values["connection"] === values["connection"] &&
          Number(other.values["model.hidden"]) < Number(values["model.hidden"]),
      ),
  );
  expect(counted.length).toBe(equal.length + 1);
  const most = Math.max(...equal.map(({ operations }) => operations));
  const least = Math.min(...equal.map(({ operations }) => operations));
  expect(most / least - 1).toBeLessThan(0.02);
});
