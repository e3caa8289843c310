import { input } from "birkhoff";
import { relu } from "birkhoff/ops";
import { createReferenceRuntime, createWasmRuntime, describeSchedule } from "birkhoff/runtime";

const x = input("x", [64, 32]);
const oracle = createReferenceRuntime(); // every operation as its formula, in float64
console.log(oracle.compile({ outputs: { y: relu(x) } }));

const wasm = await createWasmRuntime({ threads: 2 });
const { plan } = wasm.compile({ outputs: { y: relu(x) } });
console.log(describeSchedule(plan)); // which calls run between two barriers
wasm.close();
