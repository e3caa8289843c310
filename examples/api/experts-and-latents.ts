import { input } from "birkhoff";
import { chooseExperts, dispatch, expertMatmul, expertRows, expertSum, sigmoid } from "birkhoff/ops";

// 64 tokens of 32 channels; 2 of 8 experts for each.
const x = input("x", [64, 32]);
const scores = sigmoid(input("scores", [64, 8]));
const { weights, experts } = chooseExperts(scores, input("bias", [8]), { active: 2 });
const order = dispatch(experts, 8);
const hidden = expertMatmul(expertRows(x, order), input("w", [8, 32, 32]), order.offsets);
console.log(expertSum(hidden, order, weights).shape); // [64, 32]
