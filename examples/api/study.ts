import { mhc } from "birkhoff";
import { measureStart, parseIntervention, sinkhornError } from "birkhoff/study";

console.log(measureStart(mhc(), { depth: 8 })); // what this start makes of 8 untrained sublayers
console.log(sinkhornError({ iterations: 20, scale: 1 })); // how far 20 iterations are from doubly stochastic
console.log(parseIntervention("identity")); // for intervene(): every mixing matrix becomes the identity
