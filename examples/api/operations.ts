import { input } from "birkhoff";
import { add, broadcast, matmul, reshape, rmsNorm, softmax } from "birkhoff/ops";

const x = input("x", [4, 16, 32]); // B sequences, T tokens, C channels
const normed = rmsNorm(x, input("norm", [32]));
const scores = softmax(reshape(matmul(reshape(normed, [64, 32]), input("w", [32, 10])), [4, 16, 10]));
console.log(add(scores, broadcast(input("bias", [16, 10]), [4, 16, 10])).shape); // [4, 16, 10]
