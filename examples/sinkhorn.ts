// Project a matrix onto the doubly stochastic matrices, and send a gradient back through the projection.
// Run: node examples/sinkhorn.ts
//
// P = Sinkhorn-Knopp(exp L): columns and rows are scaled in turn to sum to one, 20 times, rows last. With the loss
// ⟨P, W⟩, gradient descent on L finds the permutation matrix with the smallest ⟨P, W⟩. This solves an assignment problem
// by a continuous path inside the Birkhoff polytope.

import { gradients, input, openRuntime, parameter } from "birkhoff";
import { multiply, scale, sinkhorn, subtract, sum } from "birkhoff/ops";

const n = 4;
const logits = parameter("logits", [n, n]);
const weights = input("weights", [n, n]);
const matrix = sinkhorn(logits);
const loss = sum(multiply(matrix, weights));
const [gradient] = gradients(loss, [logits]);

// The reference computes in float64; openRuntime() alone runs the same graph on all cores in float32.
const runtime = await openRuntime({ runtime: "reference" });
const step = runtime.compile({
  outputs: { matrix, gradient: gradient!, loss },
  updates: [[logits, subtract(logits, scale(gradient!, 2))]],
});
runtime.write(logits, [0.9, -0.3, 0.2, 0.4, -1.1, 0.8, 0.1, 0, 0.3, 0.3, -0.6, 1.2, 0, -0.4, 0.7, 0.5]);
runtime.write(weights, [3, 1, 4, 1, 5, 9, 2, 6, 6, 3, 5, 8, 9, 7, 9, 3]);

const rows = (values: ArrayLike<number>): number[][] =>
  Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => values[i * n + j]!));
const print = (title: string, values: ArrayLike<number>): void => {
  const lines = rows(values).map((row) => row.map((value) => value.toFixed(3).padStart(8)).join(""));
  process.stdout.write(`${title}\n${lines.join("\n")}\n`);
};

step.run();
export const first: number[][] = rows(await step.read("matrix"));
print("P, the projection", await step.read("matrix"));
print("the gradient of the loss with respect to L", await step.read("gradient"));

for (let t = 0; t < 200; t++) step.run();
export const last: number[][] = rows(await step.read("matrix"));
export const cost: number = (await step.read("loss"))[0]!;
print(`P after 200 steps, loss ${cost.toFixed(3)}`, await step.read("matrix"));
