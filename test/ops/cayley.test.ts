import { expect, test } from "vitest";
import { input } from "../../src/graph/state.ts";
import { cayley } from "../../src/ops/cayley.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import { normal, uniform } from "./harness.ts";

/** Q of the logits, row by row. */
function evaluate(logits: readonly number[], m: number): number[][] {
  const runtime = createReferenceRuntime();
  const tensor = input("logits", [logits.length]);
  const program = runtime.compile({ outputs: { q: cayley(tensor, m) } });
  runtime.write(tensor, logits);
  program.run();
  const values = [...program.readNow("q")];
  return Array.from({ length: m }, (_, i) => values.slice(i * m, (i + 1) * m));
}

test("in the plane the logit a turns by 2 atan a", () => {
  const angle = 2 * Math.atan(0.75);
  expect(evaluate([0.75], 2)).toEqual([
    [expect.closeTo(Math.cos(angle), 12), expect.closeTo(-Math.sin(angle), 12)],
    [expect.closeTo(Math.sin(angle), 12), expect.closeTo(Math.cos(angle), 12)],
  ]);
});

test.each([2, 3, 5, 8].flatMap((m) => [1, 10, 1000].map((scale) => [m, scale] as const)))(
  "Q (I + A) = I − A and Q Qᵀ = I in %i dimensions, logits of scale %i",
  (m, scale) => {
    const random = uniform(m);
    const logits = Array.from({ length: (m * (m - 1)) / 2 }, () => scale * normal(random));
    const q = evaluate(logits, m);
    let next = 0;
    const a = Array.from({ length: m }, () => Array<number>(m).fill(0));
    for (let i = 0; i < m; i++) {
      for (let j = i + 1; j < m; j++) {
        a[i]![j] = logits[next]!;
        a[j]![i] = -logits[next++]!;
      }
    }
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < m; j++) {
        const identity = i === j ? 1 : 0;
        const left = q[i]!.reduce((sum, value, k) => sum + value * ((k === j ? 1 : 0) + a[k]![j]!), 0);
        expect(Math.abs(left - (identity - a[i]![j]!)) / scale).toBeLessThan(1e-10);
        const along = q[i]!.reduce((sum, value, k) => sum + value * q[j]![k]!, 0);
        expect(Math.abs(along - identity)).toBeLessThan(1e-10);
      }
    }
  },
);

test("what does not fit is refused", () => {
  expect(() => cayley(input("l", [5, 4]), 4)).toThrow(/m\(m − 1\)\/2 = 6 logits.*Got logits \[5, 4\]/);
  expect(() => cayley(input("l", [5, 1]), 1)).toThrow("dimensions is 1; it must be a whole number from 2");
});
