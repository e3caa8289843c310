import { openRuntime } from "birkhoff";
import { exportHuggingFace, importHuggingFace } from "birkhoff/interop";

exportHuggingFace("runs/my-nano", "my-nano-hf"); // config.json, model.safetensors, tokenizer.json, ready for PyTorch
const runtime = await openRuntime();
await importHuggingFace(runtime, "my-nano-hf", "runs/from-hf", { data: "my.txt" }); // and back, as a run that can train on
runtime.close();
