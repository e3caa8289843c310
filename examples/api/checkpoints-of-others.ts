import { openRuntime } from "birkhoff";
import { convertFile, upcycle, upcycledConnections } from "birkhoff/interop";

const weights = "runs/my-nano/checkpoints/step-4/model.safetensors";
console.log(convertFile(weights, "converted.safetensors", { from: "paper", to: "deepseek-v4" })); // and how exact it is

const runtime = await openRuntime();
await upcycle(runtime, "runs/my-residual", "runs/with-streams", upcycledConnections.mhc(4)); // the same function at first
runtime.close();
