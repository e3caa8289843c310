import { adamwUpdates, createParameters, initialise, openRuntime } from "birkhoff";
import { mean, square } from "birkhoff/ops";

const parameters = createParameters();
const weight = parameters.create("weight", [8], { normal: 1 }, "weight");
const loss = mean(square(weight));
const adamw = adamwUpdates(parameters, loss, { learningRate: (step) => 0.1 / step });
const runtime = await openRuntime();
const program = runtime.compile({ outputs: { loss }, updates: adamw.updates });
initialise(runtime, parameters, 1);
for (let step = 1; step <= 10; step++) {
  adamw.write(runtime, step); // this step's learning rate
  program.run();
}
console.log(await program.read("loss"));
runtime.close();
