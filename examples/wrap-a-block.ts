// Wrap a block of your own in mHC, train it, and look at what the connection learned.
// Run: node examples/wrap-a-block.ts

import { adamwUpdates, createParameters, initialise, input, mhc, measureGains, type Tensor } from "birkhoff";
import { matmul, mean, silu, square, subtract } from "birkhoff/ops";
import { createWasmRuntime } from "birkhoff/runtime";

const [tokens, channels, streams] = [64, 32, 4];
const parameters = createParameters();
const connection = mhc({ streams }); // or residual(), or hc({ streams })

const x = input("x", [tokens, channels]);
let state = connection.expand(x);
const mixing: Record<string, Tensor> = {};
for (let index = 0; index < 6; index++) {
  const own = parameters.under(`block${index}`);
  const weight = own.create("weight", [channels, channels], { normal: 0.2 }, "weight");
  // The block is any function from [tokens, channels] to [tokens, channels].
  const wrapped = connection.sublayer(own, { channels, index }).apply(state, (u) => silu(matmul(u, weight)));
  state = wrapped.state;
  mixing[index] = wrapped.coefficients!;
}
const loss = mean(square(subtract(connection.collapse(state), square(x)))); // learn to square
const adamw = adamwUpdates(parameters, loss, { learningRate: 3e-3, weightDecay: 0 });

const runtime = await createWasmRuntime();
const step = runtime.compile({ outputs: { loss, ...mixing }, updates: adamw.updates });
initialise(runtime, parameters);
for (let t = 1; t <= 300; t++) {
  runtime.write(
    x,
    Float32Array.from({ length: tokens * channels }, (_, i) => Math.sin(0.7 * i + t)),
  );
  adamw.write(runtime, t);
  step.run();
  if (t % 100 === 1 || t === 300) console.log(`step ${t}: loss ${step.read("loss")[0]}`);
}
const gains = measureGains(
  Object.keys(mixing).map((index) => step.read(index)),
  streams,
  tokens,
);
console.log(`all mixing matrices together amplify a signal ${gains.composite.backward[0]} times`);
runtime.close();
