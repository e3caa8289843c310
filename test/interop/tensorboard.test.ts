// TensorBoard's event files, read back by a reader of their format that shares nothing with the writer.

import fs from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { given } from "../../src/basics/given.ts";
import { prepareData } from "../../src/data/prepare.ts";
import type { PreparedData } from "../../src/data/prepared-files.ts";
import {
  crc32c,
  exportTensorBoard,
  hasEventFiles,
  maskedCrc32c,
  recordTensorBoard,
} from "../../src/interop/tensorboard.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { openRun, type Run } from "../../src/runs/run.ts";
import { makeWorkplace } from "../e2e/cli.ts";
import { tinyTraining } from "../training/tiny.ts";
import { makeRuns, metric } from "../report/run-folders.ts";

/** CRC-32C bit by bit, as its definition reads. */
function slowCrc(bytes: Uint8Array): number {
  let crc = 0xffffffffn;
  for (const byte of bytes) {
    crc ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit++) crc = crc & 1n ? (crc >> 1n) ^ 0x82f63b78n : crc >> 1n;
  }
  return Number(crc ^ 0xffffffffn);
}
const slowMask = (crc: number): number =>
  Number((((BigInt(crc) >> 15n) | (BigInt(crc) << 17n)) + 0xa282ead8n) & 0xffffffffn);

type Value = bigint | Buffer;
/** The fields of a protocol buffer: number, then what is there, by wire type. */
function fieldsOf(message: Buffer): Map<number, Value[]> {
  const fields = new Map<number, Value[]>();
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message[at++]!;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  const take = (count: number): Buffer => message.subarray(at, (at += count));
  while (at < message.length) {
    const key = Number(varint());
    const read: Record<number, () => Value> = {
      0: varint,
      1: () => take(8),
      2: () => take(Number(varint())),
      5: () => take(4),
    };
    const value = read[key & 7]!();
    fields.set(key >> 3, [...(fields.get(key >> 3) ?? []), value]);
  }
  expect(at).toBe(message.length);
  return fields;
}

interface Read {
  readonly wallTime: number;
  readonly step: number;
  readonly version?: string;
  readonly started?: boolean;
  readonly scalars: Record<string, number>;
}

function readEvents(file: string): Read[] {
  const content = fs.readFileSync(file);
  const events: Read[] = [];
  for (let at = 0; at < content.length;) {
    const length = Number(content.readBigUInt64LE(at));
    expect(content.readUInt32LE(at + 8)).toBe(slowMask(slowCrc(content.subarray(at, at + 8))));
    const data = content.subarray(at + 12, at + 12 + length);
    expect(content.readUInt32LE(at + 12 + length)).toBe(slowMask(slowCrc(data)));
    at += 16 + length;
    const fields = fieldsOf(data);
    const [summary] = (fields.get(5) ?? []) as Buffer[];
    const [session] = (fields.get(7) ?? []) as Buffer[];
    const version = fields.get(3)?.[0]?.toString();
    events.push({
      wallTime: (fields.get(1)![0] as Buffer).readDoubleLE(),
      step: Number(fields.get(2)![0]),
      ...given({ version }),
      ...(session ? { started: fieldsOf(session).get(1)![0] === 1n } : {}),
      scalars: Object.fromEntries(
        ((summary ? fieldsOf(summary).get(1) : undefined) ?? []).map((value) => {
          const parts = fieldsOf(value as Buffer);
          return [String(parts.get(1)![0]), (parts.get(2)![0] as Buffer).readFloatLE()];
        }),
      ),
    });
  }
  return events;
}
const filesIn = (folder: string): string[] =>
  fs
    .readdirSync(folder)
    .filter((name) => name.includes("tfevents"))
    .sort()
    .map((name) => path.join(folder, name));

describe("checksums", () => {
  test("the vectors of RFC 3720 and the usual one", () => {
    expect(crc32c(Buffer.from("123456789"))).toBe(0xe3069283);
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(crc32c(new Uint8Array(32).fill(255))).toBe(0x62a8ab43);
    expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e);
  });
  test("the mask is a rotation by 15 and a sum modulo 2³²", () => {
    expect(maskedCrc32c(Buffer.from("123456789"))).toBe(slowMask(0xe3069283));
    // (0xe3069283 >>> 15 | 0xe3069283 << 17) = 0x2507c60d, and with 0xa282ead8:
    expect(maskedCrc32c(Buffer.from("123456789"))).toBe(0xc78ab0e5);
  });
});

describe("export", () => {
  const runs = makeRuns();
  afterAll(() => runs.remove());
  test("a run as one file: version, then every step's values at the times they were made", () => {
    const folder = runs.write("sound", {
      metrics: [metric(1), metric(2, { validationLoss: 1.5 }), metric(3, { loss: Number.NaN })],
      gains: [{ step: 2, composite: { forward: [1, 3], backward: [7, 2] }, columnError: [0.25, 0.5] }],
      events: [{ step: 2, rule: "gain", message: "high", value: 7, bound: 3, action: "continue" }],
    });
    const [file] = exportTensorBoard(folder, path.join(runs.folder, "out"));
    expect(path.basename(file!)).toMatch(/^events\.out\.tfevents\.\d+\.[\w-]+\./);
    const [first, ...steps] = readEvents(file!);
    expect(first).toMatchObject({ version: "brain.Event:2", step: 0, scalars: {} });
    expect(steps.map(({ step }) => step)).toEqual([1, 2, 3]);
    expect(steps[1]!.scalars).toEqual({
      "loss/train": 2,
      "loss/validation": 1.5,
      "gradient/norm": 0.5,
      rate: Math.fround(1e-3),
      "speed/tokens_per_second": 1000,
      "gain/composite_forward_max": 3,
      "gain/composite_backward_max": 7,
      "mixing/column_error_max": 0.5,
      "alarm/gain": 7,
    });
    expect(steps[2]!.scalars["loss/train"]).toBeNaN();
    expect(steps[2]!.wallTime - steps[0]!.wallTime).toBeCloseTo(1, 4);
  });
  test("what is no run is refused, what is damaged is left out", () => {
    expect(() => exportTensorBoard(path.join(runs.folder, "none"), runs.folder)).toThrow(/there is no run in/);
    const folder = runs.write("hostile", {
      metrics: [metric(1, { loss: "high" as never }), metric(2 ** 40)],
      gains: [
        { step: 1, composite: { forward: [1, 1], backward: [1, 2] } },
        { step: 2, composite: { forward: 3, backward: [null, "x", 2] } } as never,
      ],
      events: [{ step: 1, rule: "ä\n\0", message: "", action: "continue" }],
    });
    const out = path.join(runs.folder, "damaged");
    const [first] = exportTensorBoard(folder, out);
    const [, one, two] = readEvents(first!);
    expect([one!.scalars["gain/composite_backward_max"], "loss/train" in one!.scalars]).toEqual([2, false]);
    expect(one!.scalars["alarm/ä\n\0"]).toBeNaN();
    expect(two!.step).toBe(2 ** 40);
    // TensorBoard reads all event files of a folder.
    expect(() => exportTensorBoard(folder, out)).toThrow(/holds event files already.*--overwrite/);
    const [second] = exportTensorBoard(folder, out, { overwrite: true });
    expect(fs.readdirSync(out)).toEqual([path.basename(second!)]);
  });
});

describe("while a run trains", () => {
  const place = makeWorkplace();
  let runtime: WasmRuntime;
  let data: PreparedData;
  beforeAll(async () => {
    runtime = await createWasmRuntime({ threads: 1 });
    data = await prepareData({ source: place.at("text.txt"), vocabularySize: 270, cacheFolder: place.at("cache") });
  });
  afterAll(() => {
    data.close();
    runtime.close();
    place.remove();
  });
  const open = async (existing: "refuse" | "resume"): Promise<Run> => {
    const config = tinyTraining("mhc", {
      model: { vocabulary: data.tokenizer.vocabularySize },
      alarms: { rules: { "not-finite": { action: "rollback" } } },
    });
    return recordTensorBoard(await openRun(runtime, config, data, place.at("run"), { existing }), place.at("run"));
  };

  test("each step is in the file at once; a resumed run says from where it repeats, as a rollback does", async () => {
    const first = await open("refuse");
    expect(hasEventFiles(place.at("run"))).toBe(true);
    for (let step = 1; step <= 6; step++) {
      await first.advance();
      expect(readEvents(filesIn(place.at("run"))[0]!).at(-1)).toMatchObject({ step });
    }
    const spoiled = await first.trainer.save();
    first.trainer.restore({
      ...spoiled,
      model: spoiled.model.map((tensor) =>
        tensor.name === "norm" ? { ...tensor, data: tensor.data.with(0, Number.NaN) } : tensor,
      ),
    });
    await first.advance();
    expect(first.trainer.step).toBe(4);
    await first.advance();
    first.close();
    const events = readEvents(filesIn(place.at("run"))[0]!);
    expect(events.map(({ step, started }) => (started ? `start ${step}` : step))).toEqual([
      0,
      "start 1",
      1,
      2,
      3,
      4,
      5,
      6,
      "start 5",
      5,
    ]);
    const second = await open("resume");
    await second.advance();
    second.close();
    const files = filesIn(place.at("run"));
    expect(files).toHaveLength(2);
    expect(readEvents(files[1]!).map(({ step, started }) => (started ? `start ${step}` : step))).toEqual([
      0,
      "start 5",
      5,
    ]);
    const tags = Object.keys(readEvents(files[0]!).find(({ step }) => step === 4)!.scalars);
    expect(tags).toEqual(
      expect.arrayContaining(["loss/train", "loss/validation", "gain/composite_backward_max", "rate"]),
    );
  });
});
