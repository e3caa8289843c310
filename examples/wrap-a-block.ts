// Wrap a block of your own in mHC, train it, and look at what the connection learned.
// Run: node examples/wrap-a-block.ts

import {
  adamw,
  clipScale,
  createParameters,
  createWasmRuntime,
  gradients,
  initialValues,
  input,
  manifold,
  matmul,
  mean,
  persistent,
  silu,
  square,
  subtract,
  sumSquares,
  type Tensor,
} from "birkhoff";

const [tokens, channels, depth] = [64, 32, 6];
const parameters = createParameters();
const connection = manifold({ streams: 4 }); // or residual(), or hyper({ streams: 4 })

// A stack of six blocks F(u) = silu(u A) B, joined by the connection.
const x = input("x", [tokens, channels]);
let state = connection.expand(x);
for (let index = 0; index < depth; index++) {
  const own = parameters.under(`block${index}`);
  const a = own.create("a", [channels, 2 * channels], { normal: 0.1 }, "weight");
  const b = own.create("b", [2 * channels, channels], { normal: 0.1 }, "weight");
  const wrapped = connection.sublayer(own.under("connection"), { channels, index });
  state = wrapped.apply(state, (u) => matmul(silu(matmul(u, a)), b)).state;
}

// The target reverses the channels; the loss is the mean squared error.
const target = input("target", [tokens, channels]);
const loss = mean(square(subtract(connection.collapse(state), target)));

// One compiled step: forward, backward, clipping, AdamW.
const schedule = input("schedule", [3]);
const found = gradients(
  loss,
  parameters.all.map(({ tensor }) => tensor),
);
const clip = clipScale(found.map(sumSquares), 1);
const updates = parameters.all.flatMap(({ tensor: param, name }, i): [Tensor, Tensor][] => {
  const m = persistent(`${name}.m`, param.shape);
  const v = persistent(`${name}.v`, param.shape);
  const [nextParam, nextM, nextV] = adamw({ param, gradient: found[i]!, m, v, schedule, clip }, { weightDecay: 0 });
  return [
    [param, nextParam],
    [m, nextM],
    [v, nextV],
  ];
});

const runtime = await createWasmRuntime();
const step = runtime.compile({ outputs: { loss }, updates });
for (const parameter of parameters.all) runtime.write(parameter.tensor, initialValues(parameter, 1));

export const losses: number[] = [];
for (let t = 1; t <= 300; t++) {
  const values = Float32Array.from({ length: tokens * channels }, (_, i) => Math.sin(i * 0.7 + t));
  runtime.write(x, values);
  runtime.write(
    target,
    values.map((_, i) => values[i - (i % channels) + (channels - 1 - (i % channels))]!),
  );
  runtime.write(schedule, [3e-3, 1 - 0.9 ** t, 1 - 0.95 ** t]);
  step.run();
  losses.push(step.readNow("loss")[0]!);
}
process.stdout.write(`loss ${losses[0]!.toPrecision(3)} -> ${losses.at(-1)!.toPrecision(3)}\n`);
runtime.close();
