import { gradients, input, parameter } from "birkhoff";
import { checkpoint, gelu, keep, matmul, scope, sum } from "birkhoff/ops";

const weight = parameter("weight", [32, 32]);
const x = input("x", [64, 32]);
// The product is stored; gelu, which is cheap and as large, is computed again in the backward pass.
const y = scope("block", () => checkpoint(() => gelu(keep(() => matmul(x, weight)))));
console.log(gradients(sum(y), [weight])[0]!.shape); // [32, 32]
