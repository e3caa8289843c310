// Question: what may anyone rely on who has a collective, whatever carries its messages, and one between GPUs?
//
// Each check is done by all ranks at once, in one process or in many, and fails on the rank that finds something wrong.

import assert from "node:assert/strict";
import { input, persistent } from "../../../src/graph/state.ts";
import { add, scale } from "../../../src/ops/elementwise.ts";
import type { Collective, GpuCollective, GpuValues } from "../../../src/runtime/collective/collective.ts";
import { broadcastText, gatherTexts } from "../../../src/runtime/collective/texts.ts";
import type { Runtime } from "../../../src/runtime/runtime.ts";

/** Numbers whose sums depend on the order in which they are added. */
export const valuesOf = (rank: number, length: number): Float32Array =>
  Float32Array.from({ length }, (_, i) => Math.fround(Math.sin(i * 37 + rank * 11) * 10 ** ((i + rank) % 6)));

/** ((x₀ + x₁) + x₂) + …, each sum rounded. */
export function summed(size: number, length: number): Float32Array {
  const sum = valuesOf(0, length);
  for (let rank = 1; rank < size; rank++) {
    const next = valuesOf(rank, length);
    for (let i = 0; i < length; i++) sum[i] = Math.fround(sum[i]! + next[i]!);
  }
  return sum;
}

const same = (found: ArrayLike<number>, wanted: ArrayLike<number>): void =>
  assert.deepEqual(Array.from(found), Array.from(wanted));

/** What every collective does. */
export const contract: Readonly<Record<string, (collective: Collective) => Promise<void>>> = {
  async "all-reduce in the order of the ranks"(collective) {
    const { rank, size } = collective;
    for (const length of [1, 7, 1000, 5000]) {
      const values = valuesOf(rank, length);
      await collective.allReduce(values).done();
      same(values, summed(size, length));
    }
  },
  async "reduce-scatter, all-gather, all-to-all, gather and broadcast"(collective) {
    const { rank, size } = collective;
    const length = 12 * size;
    const [own, whole] = [new Float32Array(12), new Float32Array(length)];
    await collective.reduceScatter(valuesOf(rank, length), own).done();
    same(own, summed(size, length).subarray(12 * rank, 12 * rank + 12));
    await collective.allGather(own, whole).done();
    same(whole, summed(size, length));

    const [sent, got] = [Int32Array.from({ length: size }, (_, to) => 10 * rank + to), new Int32Array(size)];
    await collective.allToAll(sent, got).done();
    same(
      got,
      Int32Array.from({ length: size }, (_, from) => 10 * from + rank),
    );

    // Rank q sends q + r numbers to rank r, but none to rank 0.
    const many = (from: number, to: number): number => (to === 0 ? 0 : from + to);
    const parts = Array.from({ length: size }, (_, to) => valuesOf(rank, many(rank, to)));
    const into = Array.from({ length: size }, (_, from) => new Float32Array(many(from, rank)));
    await collective.allToAllParts(parts, into).done();
    for (const [from, part] of into.entries()) same(part, valuesOf(from, many(from, rank)));

    const last = size - 1;
    const gathered = new Int32Array(rank === last ? size : 0);
    await collective.gather(Int32Array.of(7 * rank), gathered, last).done();
    same(gathered, rank === last ? Array.from({ length: size }, (_, from) => 7 * from) : []);
    const said = Int32Array.of(rank === last ? 42 : 0);
    await collective.broadcast(said, last).done();
    assert.equal(said[0], 42);
    if (size > 1) assert.ok(collective.traffic.sentBytes > 0);
  },
  async "messages between two come in order, and several operations may be under way"(collective) {
    const { rank, size } = collective;
    if (size === 1) return;
    const [next, before] = [(rank + 1) % size, (rank + size - 1) % size];
    const got = [new Int32Array(1), new Int32Array(1)];
    const long = new Float32Array(100_000);
    const pending = [
      collective.send(Int32Array.of(100 + rank), next),
      collective.barrier(),
      collective.send(Int32Array.of(200 + rank), next),
      ...got.map((into) => collective.receive(into, before)),
      collective.send(valuesOf(rank, long.length), next),
      collective.receive(long, before),
    ];
    for (const each of pending) await each.done();
    same(
      got.map(([value]) => value!),
      [100 + before, 200 + before],
    );
    same(long, valuesOf(before, long.length));
  },
  async "texts of any length"(collective) {
    const { rank, size } = collective;
    assert.deepEqual(
      await gatherTexts(collective, "é".repeat(rank * 3)),
      Array.from({ length: size }, (_, from) => "é".repeat(from * 3)),
    );
    assert.equal(await broadcastText(collective, size - 1, rank === size - 1 ? "to all" : undefined), "to all");
    assert.equal(await broadcastText(collective, 0, ""), "");
  },
  async "groups whose messages do not mix"(collective) {
    const { rank, size } = collective;
    const members = Array.from({ length: size }, (_, index) => index).filter((each) => each % 2 === rank % 2);
    const group = collective.group(members);
    const [mine, all] = [Int32Array.of(rank), new Int32Array(members.length)];
    const everywhere = Float32Array.of(1);
    const pending = [group.allGather(mine, all), collective.allReduce(everywhere)];
    for (const each of pending) await each.done();
    same(all, members);
    assert.equal(everywhere[0], size);
  },
};

/** Sums whose order is free are as near as float32 has them. */
function near(found: ArrayLike<number>, wanted: ArrayLike<number>, largest: number): void {
  assert.equal(found.length, wanted.length);
  for (let i = 0; i < wanted.length; i++)
    assert.ok(Math.abs(found[i]! - wanted[i]!) <= 1e-6 * largest, `${found[i]} and ${wanted[i]} at ${i}`);
}

let states = 0;
const stateOf = (length: number): GpuValues => ({ state: persistent(`contract.${states++}`, [length]) });
const indicesOf = (length: number): GpuValues => ({ state: input(`contract.${states++}`, [length], "i32") });

/** What every collective between GPUs does; the ranks' states are in these runtimes. */
export const gpuContract: Readonly<
  Record<string, (gpu: GpuCollective, runtime: Runtime, collective: Collective) => Promise<void>>
> = {
  async "all-reduce, the same bits on all ranks"(gpu, runtime, collective) {
    const { rank, size } = collective;
    for (const length of [1, 7, 1000, 5000]) {
      const values = stateOf(length);
      runtime.write(values.state, valuesOf(rank, length));
      const pending = gpu.allReduce(values);
      gpu.join();
      const found = await runtime.read(values.state);
      near(found, summed(size, length), 4e5);
      await pending.done();
      const all = await gatherTexts(collective, Buffer.from(found.buffer).toString("base64"));
      assert.equal(new Set(all).size, 1);
      runtime.forget(values.state);
    }
  },
  async "reduce-scatter, all-gather, all-to-all, trade and broadcast"(gpu, runtime, { rank, size }) {
    const length = 12 * size;
    const [values, own, whole] = [stateOf(length), stateOf(12), stateOf(length + 3)];
    runtime.write(values.state, valuesOf(rank, length));
    await gpu.reduceScatter(values, own).done();
    near(await runtime.read(own.state), summed(size, length).subarray(12 * rank, 12 * rank + 12), 4e5);
    await gpu.allGather(own, { ...whole, from: 3 }).done();
    const gathered = await runtime.read(whole.state);
    near(gathered.subarray(3), summed(size, length), 4e5);

    const [sent, got] = [indicesOf(size), indicesOf(size)];
    runtime.write(
      sent.state,
      Int32Array.from({ length: size }, (_, to) => 10 * rank + to),
    );
    await gpu.allToAll(sent, got).done();
    same(
      await runtime.read(got.state),
      Array.from({ length: size }, (_, from) => 10 * from + rank),
    );

    // Every rank sends first: all messages are begun before any is waited for.
    if (size > 1) {
      const [next, before] = [(rank + 1) % size, (rank + size - 1) % size];
      const [out, back] = [stateOf(200_000), stateOf(200_000)];
      runtime.write(out.state, valuesOf(rank, 200_000));
      await gpu.trade([{ values: out, rank: next }], [{ values: back, rank: before }]).done();
      same(await runtime.read(back.state), valuesOf(before, 200_000));
    }
    const said = stateOf(5);
    runtime.write(said.state, valuesOf(rank, 5));
    await gpu.broadcast(said, size - 1).done();
    same(await runtime.read(said.state), valuesOf(size - 1, 5));
  },
  async "what the runtime makes before is sent, and what it does after has what came"(gpu, runtime, { rank, size }) {
    const many = 1 << 18;
    const [x, y] = [stateOf(many), stateOf(many)];
    const twice = runtime.compile({ outputs: {}, updates: [[x.state, scale(x.state, 2)]] });
    const later = runtime.compile({ outputs: {}, updates: [[y.state, add(x.state, x.state)]] });
    runtime.write(
      x.state,
      Float32Array.from({ length: many }, () => rank + 1),
    );
    let wanted = 0;
    // Nobody waits between the operations: their marks alone put them in order.
    for (let round = 0; round < 4; round++) {
      twice.run();
      gpu.allReduce(x);
      gpu.join();
      wanted = 2 * (round === 0 ? (size * (size + 1)) / 2 : size * wanted);
    }
    later.run();
    same((await runtime.read(y.state)).subarray(0, 3), [2 * wanted, 2 * wanted, 2 * wanted]);
    const all = await runtime.read(y.state);
    assert.ok(all.every((value) => value === 2 * wanted));
    for (const program of [twice, later]) program.release();
  },
  async "groups, each with a way of its own"(gpu, runtime, collective) {
    const { rank, size } = collective;
    const members = Array.from({ length: size }, (_, index) => index).filter((each) => each % 2 === rank % 2);
    const group = collective.group(members).gpu!;
    const [inGroup, everywhere] = [stateOf(3), stateOf(3)];
    for (const { state } of [inGroup, everywhere]) runtime.write(state, [rank, 1, 1]);
    await Promise.all([group.allReduce(inGroup).done(), gpu.allReduce(everywhere).done()]);
    same(await runtime.read(inGroup.state), [members.reduce((a, b) => a + b, 0), members.length, members.length]);
    same(await runtime.read(everywhere.state), [(size * (size - 1)) / 2, size, size]);
  },
  async "what does not fit is refused"(gpu, _runtime, { size }) {
    assert.throws(() => gpu.allGather(stateOf(2), stateOf(2 * size + 1)), /allGather: .* values are given/);
    assert.throws(() => gpu.allReduce({ ...stateOf(2), from: 1, length: 2 }), /allReduce: 2 values from 1 are given/);
    assert.throws(() => gpu.broadcast(stateOf(2), size), /broadcast: rank \d+ is given/);
    return Promise.resolve();
  },
};
