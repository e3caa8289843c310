// Loaded before the command line, by NODE_OPTIONS: the GPU goes away when the run in LOSE_GPU_IN has recorded six steps.

import fs from "node:fs";
import path from "node:path";
import { globals } from "webgpu";

const { GPUAdapter, GPUQueue } = globals;
const { requestDevice } = GPUAdapter.prototype;
const { submit } = GPUQueue.prototype;
const metrics = path.join(process.env.LOSE_GPU_IN, "metrics.jsonl");
const steps = () => (fs.existsSync(metrics) ? fs.readFileSync(metrics, "utf8").split("\n").length - 1 : 0);
let device;

GPUAdapter.prototype.requestDevice = async function (...given) {
  device = await requestDevice.apply(this, given);
  return device;
};
GPUQueue.prototype.submit = function (...given) {
  if (steps() >= 6) device.destroy();
  return submit.apply(this, given);
};
