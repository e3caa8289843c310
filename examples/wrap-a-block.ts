// Wrap your own block in mHC, train it, and look at what the connection learned.
import { createParameters, initialise, input, mhc, openRuntime } from "birkhoff";
import { matmul, mean, silu, square, subtract } from "birkhoff/ops";
import { trainNet } from "birkhoff/runs";

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

const runtime = await openRuntime();
initialise(runtime, parameters);
const batch = () => [[x, Array.from({ length: tokens * channels }, Math.random)]] as const;
// With out: "runs/square" it also leaves a run folder, for birkhoff report and birkhoff serve.
const options = { steps: 1000, batch, learningRate: 3e-3, weightDecay: 0 };
const { metrics, gains } = await trainNet(runtime, { parameters, loss, mixing }, options);
// The loss, and how much all mixing matrices together amplify a signal: mHC stays near one.
console.log(metrics.at(-1)!.loss, gains.at(-1)!.composite);
runtime.close();
