// Wrap a block of your own in mHC, train it, and look at what the connection learned.
import { adamwUpdates, createParameters, initialise, input, measureGains, mhc, openRuntime } from "birkhoff";
import { matmul, mean, silu, square, subtract } from "birkhoff/ops";

const [tokens, channels, streams] = [64, 32, 4];
const [x, parameters] = [input("x", [tokens, channels]), createParameters()];
const connection = mhc({ streams }); // or hc({ streams })

let state = connection.expand(x);
const mixing = Array.from({ length: 6 }, (_, index) => {
  const own = parameters.under(`block${index}`);
  const weight = own.create("weight", [channels, channels], { normal: 0.2 }, "weight");
  // The block is any function from [tokens, channels] to [tokens, channels].
  const wrapped = connection.sublayer(own, { channels, index }).apply(state, (u) => silu(matmul(u, weight)));
  state = wrapped.state;
  return wrapped.coefficients!;
});
const loss = mean(square(subtract(connection.collapse(state), square(x)))); // learn to square
const adamw = adamwUpdates(parameters, loss, { learningRate: 3e-3, weightDecay: 0 });

const runtime = await openRuntime();
const step = runtime.compile({ outputs: { loss, mixing }, updates: adamw.updates });
initialise(runtime, parameters);
for (let t = 1; t <= 1000; t++) {
  runtime.write(x, Array.from({ length: tokens * channels }, Math.random));
  adamw.write(runtime, t);
  step.run();
}
// The loss, and how much all mixing matrices together amplify a signal: mHC stays near one.
console.log(await step.read("loss"), measureGains(await step.read("mixing"), streams, tokens).composite);
runtime.close();
