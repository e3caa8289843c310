import { exportHuggingFace, importHuggingFace } from "birkhoff/interop";
import { createWasmRuntime } from "birkhoff/runtime";

exportHuggingFace("runs/my-nano", "my-nano-hf"); // config.json, model.safetensors, tokenizer.json, ready for PyTorch
const runtime = await createWasmRuntime();
importHuggingFace(runtime, "my-nano-hf", "runs/from-hf", { data: "my.txt" }); // and back, as a run that can train on
runtime.close();
