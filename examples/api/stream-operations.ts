import { input } from "birkhoff";
import { collapse, expand, manifoldCoefficients, streamRead, streamWrite, tanh } from "birkhoff/ops";

// One sublayer of mHC by hand: n = 4 streams, M = n² + 2n = 24 coefficients for each token.
const x = expand(input("x", [64, 32]), 4);
const h = manifoldCoefficients(x, input("phi", [24, 4 * 32]), input("alpha", [3]), input("bias", [24]));
const next = streamWrite(x, h, tanh(streamRead(x, h)));
console.log(collapse(next, "mean").shape); // [64, 32]
