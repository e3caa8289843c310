// Question: how does TensorBoard read a run?
//
// An event file is a sequence of TFRecords, each with one Event of TensorFlow's event.proto:
//   u64 length | u32 masked CRC-32C of the length | the Event | u32 masked CRC-32C of the Event      little-endian
//   masked(c) = (c rotated right by 15) + 0xa282ead8
//   Event: 1 wall_time double, 2 step int64, 3 file_version string, 5 summary, 7 session_log
//   Summary: 1 value (repeated): 1 tag string, 2 simple_value float.   SessionLog: 1 status, START = 1
// The first event names the version. When a run goes back, after a kill or an alarm, it writes START with the step
// from which it repeats. TensorBoard then discards what it has read of that step and later ones.
//
// Sources: tensorflow/core/util/event.proto, tensorflow/core/lib/io/record_writer.h, tensorboard's
// EventAccumulator (purging of orphaned data). CRC-32C: RFC 3720, appendix B.4.

import { expectFields } from "../basics/fields.ts";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { reason } from "../files/errors.ts";
import type { EventRecord, GainRecord, MetricRecord } from "../training/records.ts";
import { scalars } from "../training/scalars.ts";
import type { Run } from "../runs/run.ts";
import { readRunData } from "../runs/run-data.ts";

/** Reflected polynomial of Castagnoli. */
const POLYNOMIAL = 0x82f63b78;
const TABLE: Uint32Array = Uint32Array.from({ length: 256 }, (_, byte) => {
  let remainder = byte;
  for (let bit = 0; bit < 8; bit++) remainder = (remainder >>> 1) ^ (remainder & 1 ? POLYNOMIAL : 0);
  return remainder;
});

/** CRC-32C of the bytes, an unsigned number of 32 bits. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ TABLE[(crc ^ byte) & 255]!;
  return (crc ^ 0xffffffff) >>> 0;
}

/** The form that records use, so that a CRC of data that contains CRCs remains a good one. */
export function maskedCrc32c(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

function record(data: Uint8Array): Buffer {
  const framed = Buffer.alloc(16 + data.length);
  framed.writeBigUInt64LE(BigInt(data.length));
  framed.writeUInt32LE(maskedCrc32c(framed.subarray(0, 8)), 8);
  framed.set(data, 12);
  framed.writeUInt32LE(maskedCrc32c(data), 12 + data.length);
  return framed;
}

// The part of Protocol Buffers that is needed: a field is its number and wire type, then its value.
const varint = (value: number): Buffer => {
  const bytes: number[] = [];
  let rest = BigInt(value);
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return Buffer.from([...bytes, Number(rest)]);
};
const key = (field: number, wire: number): Buffer => Buffer.from([(field << 3) | wire]);
const whole = (field: number, value: number): Buffer => Buffer.concat([key(field, 0), varint(value)]);
const double = (field: number, value: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return Buffer.concat([key(field, 1), bytes]);
};
const float = (field: number, value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return Buffer.concat([key(field, 5), bytes]);
};
const bytes = (field: number, value: Uint8Array): Buffer => Buffer.concat([key(field, 2), varint(value.length), value]);

/** A number under the name that TensorBoard shows; a slash makes groups. */
type Scalar = readonly [tag: string, value: number];

const event = (wallTime: number, step: number, ...content: Buffer[]): Buffer =>
  record(Buffer.concat([double(1, wallTime), whole(2, step), ...content]));
const version = (wallTime: number): Buffer => event(wallTime, 0, bytes(3, Buffer.from("brain.Event:2")));
const sessionStart = (wallTime: number, step: number): Buffer => event(wallTime, step, bytes(7, whole(1, 1)));
const summary = (wallTime: number, step: number, scalars: readonly Scalar[]): Buffer => {
  const values = scalars.map(([tag, value]) => bytes(1, Buffer.concat([bytes(1, Buffer.from(tag)), float(2, value)])));
  return event(wallTime, step, bytes(5, Buffer.concat(values)));
};

const tags = scalars.flatMap((scalar) => (scalar.tensorboard ? [{ tag: scalar.tensorboard, scalar }] : []));

/** What TensorBoard shows for a step. */
function scalarsOf(
  metric: MetricRecord | undefined,
  gain: GainRecord | undefined,
  events: readonly EventRecord[],
): Scalar[] {
  const records = { "metrics.jsonl": metric, "gains.jsonl": gain };
  const candidates: readonly (readonly [string, unknown])[] = [
    ...tags.map(({ tag, scalar }) => [tag, scalar.read(records[scalar.file] ?? {})] as const),
    ...events.map(({ rule, value }) => [`alarm/${rule}`, value ?? Number.NaN] as const),
  ];
  return candidates.filter((candidate): candidate is Scalar => typeof candidate[1] === "number");
}

/** A name that sorts after those of earlier files, because TensorBoard reads files in that order. */
const fileName = (wallTime: number, count: number): string =>
  `events.out.tfevents.${Math.floor(wallTime)}.${os.hostname().replace(/[^\w-]/g, "_")}.${process.pid}.${count}`;

let opened = 0;

/** Whether a folder holds event files, so that a resumed run continues to write them. */
export function hasEventFiles(folder: string): boolean {
  return eventFiles(folder).length > 0;
}

function eventFiles(folder: string): string[] {
  if (!fs.existsSync(folder)) return [];
  return fs.readdirSync(folder).filter((name) => name.startsWith("events.out.tfevents."));
}

/**
 * Writes what a run records to a TensorBoard event file in a folder, step by step while it trains.
 *
 * @returns the same run, whose `advance`, `checkpoint` and `close` also write the file
 */
export function recordTensorBoard(run: Run, folder: string): Run {
  const now = (): number => Date.now() / 1000;
  const file = path.join(folder, fileName(now(), opened++));
  const descriptor = fs.openSync(file, "ax");
  const write = (data: Buffer): void => {
    try {
      fs.writeSync(descriptor, data);
    } catch (error) {
      throw new Error(`cannot write to ${file}: ${reason(error)}`, { cause: error });
    }
  };
  let written = run.trainer.step;
  let closed = false;
  write(Buffer.concat([version(now()), sessionStart(now(), written + 1)]));

  const catchUp = (): void => {
    const { step } = run.trainer;
    if (step < written) write(sessionStart(now(), step + 1));
    written = Math.min(written, step);
    const metric = run.metrics.at(-1);
    if (!metric || metric.step <= written) return;
    const gain = run.gains.at(-1);
    const events = run.events.filter((record) => record.step === metric.step);
    write(summary(now(), metric.step, scalarsOf(metric, gain?.step === metric.step ? gain : undefined, events)));
    written = metric.step;
  };
  const recording: Pick<Run, "advance" | "checkpoint" | "close"> = {
    async advance(signal) {
      try {
        return await run.advance(signal);
      } finally {
        catchUp();
      }
    },
    async checkpoint() {
      try {
        await run.checkpoint();
      } finally {
        catchUp();
      }
    },
    close() {
      if (!closed) fs.closeSync(descriptor);
      closed = true;
      run.close();
    },
  };
  return Object.assign(Object.create(run) as Run, recording);
}

/**
 * Writes everything that a run folder holds as one TensorBoard event file.
 *
 * @param folder a run folder in any state
 * @param out made if missing; existing event files are an Error unless `overwrite` removes them
 * @returns the file's path
 * @throws Error when there is no run, or when `out` cannot be written to
 */
export function exportTensorBoard(folder: string, out: string, options: { overwrite?: boolean } = {}): string[] {
  expectFields("exportTensorBoard", options, { overwrite: "flag" });
  const { overwrite = false } = options;
  const { metrics, gains, events, config, problems } = readRunData(folder);
  if (!config && metrics.length === 0) throw new Error(`there is no run in ${folder}: ${problems.join("; ")}`);
  const begun = fs.statSync(path.join(folder, metrics.length > 0 ? "metrics.jsonl" : "config.json")).mtimeMs / 1000;
  const last = metrics.at(-1)?.seconds ?? 0;
  const metricAt = new Map(metrics.map((metric) => [metric.step, metric]));
  const gainAt = new Map(gains.map((gain) => [gain.step, gain]));
  const steps = new Set([...metricAt.keys(), ...gainAt.keys(), ...events.map(({ step }) => step)]);
  let wallTime = begun - last;
  const chunks = [version(wallTime)];
  for (const step of [...steps].filter((step) => step >= 0).sort((a, b) => a - b)) {
    const metric = metricAt.get(step);
    wallTime = Number.isFinite(metric?.seconds) ? begun - last + metric!.seconds : wallTime;
    const scalars = scalarsOf(
      metric,
      gainAt.get(step),
      events.filter((record) => record.step === step),
    );
    if (scalars.length > 0) chunks.push(summary(wallTime, step, scalars));
  }
  fs.mkdirSync(out, { recursive: true });
  // TensorBoard reads all event files of a folder, so it would show every step once for each export.
  const earlier = eventFiles(out);
  if (earlier.length > 0 && !overwrite)
    throw new Error(`${out} holds event files already: choose another folder, or replace them (--overwrite)`);
  for (const name of earlier) fs.rmSync(path.join(out, name));
  const file = path.join(out, fileName(wallTime, opened++));
  fs.writeFileSync(file, Buffer.concat(chunks), { flag: "wx" });
  return [file];
}
