import { createParameters, initialise, input, openRuntime } from "birkhoff";
import { matmul, mean, square } from "birkhoff/ops";
import { createNetTrainer } from "birkhoff/training";

const [x, parameters] = [input("x", [4, 2]), createParameters()];
const loss = mean(square(matmul(x, parameters.create("weight", [2, 2], { normal: 1 }, "weight"))));
const runtime = await openRuntime();
initialise(runtime, parameters, 1);
const trainer = createNetTrainer(
  runtime,
  { parameters, loss },
  { steps: 10, batch: (step) => [[x, Array(8).fill(step)]] },
);
while (trainer.step < 10) console.log((await trainer.trainStep()).loss);
const state = await trainer.save(); // parameters and AdamW's moments; restore(state) goes back to them
trainer.release(); // the parameters stay in the runtime
console.log(state.step);
runtime.close();
