import { lintFile } from "birkhoff/study";

const { checks } = lintFile("runs/my-nano"); // a run, a checkpoint, or a safetensors file of others
for (const { name, verdict, measured } of checks) console.log(`${verdict}: ${name}: ${measured}`);
