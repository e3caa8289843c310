import { input, type Runtime } from "birkhoff";
import { softmax } from "birkhoff/ops";
import { createWasmRuntime } from "birkhoff/runtime";

const x = input("x", [2, 3]);
const runtime: Runtime = await createWasmRuntime();
const program = runtime.compile({ outputs: { rows: softmax(x) } });
runtime.write(x, [1, 2, 3, 1, 1, 1]);
program.run();
console.log(program.read("rows")); // the second row is a third each
runtime.close();
