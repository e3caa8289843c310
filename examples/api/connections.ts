import { createParameters, input, mhc } from "birkhoff";
import { relu } from "birkhoff/ops";

const connection = mhc({ streams: 4, initialisation: "pre-norm" });
const parameters = createParameters();
let state = connection.expand(input("x", [64, 32]));
for (let index = 0; index < 3; index++) {
  const sublayer = connection.sublayer(parameters.under(`sublayer${index}`), { channels: 32, index });
  state = sublayer.apply(state, (u) => relu(u)).state; // any block, such as attention or a feed-forward network
}
console.log(connection.collapse(state).shape); // [64, 32]
