// A checkpoint as large as those that are released, which takes hardly any room: all but the connections are holes.

import fs from "node:fs";
import path from "node:path";
import { encodeHead } from "../../src/files/write-safetensors.ts";

/** Shards of one layer each, with the names of the released DeepSeek V4 checkpoints. */
export function writeSparseCheckpoint(
  folder: string,
  {
    shards,
    bytesOfShard,
    channels,
  }: { readonly shards: number; readonly bytesOfShard: number; readonly channels: number },
): { readonly bytes: number; biasOf(layer: number, role: string): Float32Array } {
  const [streams, rows] = [4, 24];
  const biasOf = (layer: number, role: string): Float32Array =>
    Float32Array.from({ length: rows }, (_, i) => {
      const at = i - 2 * streams;
      const isDiagonal = at >= 0 && Math.floor(at / streams) === at % streams;
      return isDiagonal ? 3 : Math.sin(layer + i + (role === "attn" ? 0 : 0.5));
    });
  fs.mkdirSync(folder, { recursive: true });
  const map: Record<string, string> = {};
  let bytes = 0;
  for (let layer = 0; layer < shards; layer++) {
    const name = `model-${String(layer + 1).padStart(5, "0")}-of-${String(shards).padStart(5, "0")}.safetensors`;
    const f32 = (tensor: string, ...shape: number[]) => ({
      name: `layers.${layer}.${tensor}`,
      dtype: "F32",
      shape,
      bytes: 4 * shape.reduce((a, b) => a * b, 1),
    });
    const connections = ["attn", "ffn"].flatMap((role) => [
      f32(`hc_${role}_base`, rows),
      f32(`hc_${role}_scale`, 3),
      f32(`hc_${role}_fn`, rows, streams * channels),
    ]);
    const taken = connections.reduce((sum, tensor) => sum + tensor.bytes, 0);
    const experts = { name: `layers.${layer}.ffn.experts`, dtype: "F8_E4M3", shape: [bytesOfShard - taken] };
    const tensors = [{ ...experts, bytes: bytesOfShard - taken }, ...connections];
    const head = encodeHead(tensors);
    const file = fs.openSync(path.join(folder, name), "w");
    fs.writeSync(file, head);
    fs.ftruncateSync(file, head.length + bytesOfShard);
    let at = head.length;
    for (const tensor of tensors) {
      const [, role, part] = /hc_(attn|ffn)_(base|scale)$/.exec(tensor.name) ?? [];
      if (part === "base") fs.writeSync(file, new Uint8Array(biasOf(layer, role!).buffer), 0, undefined, at);
      if (part === "scale")
        fs.writeSync(file, new Uint8Array(Float32Array.of(0.5, 0.25, 0.125).buffer), 0, undefined, at);
      at += tensor.bytes;
      map[tensor.name] = name;
    }
    fs.closeSync(file);
    bytes += at;
  }
  fs.writeFileSync(path.join(folder, "model.safetensors.index.json"), JSON.stringify({ weight_map: map }));
  return { bytes, biasOf };
}
