import { createParameters, gradients, input, parameterCount } from "birkhoff";
import { matmul, mean, square } from "birkhoff/ops";

const parameters = createParameters();
const weight = parameters.create("weight", [32, 8], { normal: 0.1 }, "weight");
const x = input("x", [64, 32]); // 64 tokens of 32 channels; written before each run
const loss = mean(square(matmul(x, weight))); // a shape that does not fit throws here
const [gradient] = gradients(loss, [weight]);
console.log(gradient!.shape, parameterCount(parameters)); // [32, 8] 256
