import { createParameters, initialise, input, openRuntime } from "birkhoff";
import { matmul, mean, square, subtract } from "birkhoff/ops";
import { loadParameters, saveParameters, trainNet } from "birkhoff/runs";

// Learn y = 2x, from 8 numbers at a time.
const [x, y, parameters] = [input("x", [8, 1]), input("y", [8, 1]), createParameters()];
const weight = parameters.create("weight", [1, 1], { normal: 1 }, "weight");
const loss = mean(square(subtract(matmul(x, weight), y)));
const runtime = await openRuntime();
initialise(runtime, parameters, 1); // or loadParameters(runtime, parameters, "net.safetensors")
const { metrics } = await trainNet(
  runtime,
  { parameters, loss }, // with mixing: [coefficients, …] the gains of mHC and HC are recorded, too
  {
    steps: 100,
    batch: (step) => {
      const numbers = Array.from({ length: 8 }, (_, i) => Math.sin(8 * step + i));
      return [
        [x, numbers],
        [y, numbers.map((value) => 2 * value)],
      ];
    },
    learningRate: 0.1,
    schedule: "cosine",
    warmup: 5,
    weightDecay: 0,
    evaluate: async () => ({ validationLoss: (2 - (await runtime.read(weight))[0]!) ** 2 }),
    out: "runs/double", // birkhoff report runs/double; existing: "resume" goes on from the last checkpoint
  },
);
await saveParameters(runtime, parameters, "net.safetensors");
loadParameters(runtime, parameters, "net.safetensors"); // throws unless names and shapes are the same
console.log(metrics.at(-1)); // step, loss, gradient norm, learning rate, seconds, validationLoss
runtime.close();
