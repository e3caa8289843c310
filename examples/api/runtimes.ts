import { input, openRuntime, type Runtime } from "birkhoff";
import { softmax } from "birkhoff/ops";

const x = input("x", [2, 3]);
const runtime: Runtime = await openRuntime();
const program = runtime.compile({ outputs: { rows: softmax(x) } });
runtime.write(x, [1, 2, 3, 1, 1, 1]);
program.run();
console.log(await program.read("rows")); // the second row is a third each
runtime.close();
