// Question: how does a program run when the calling thread must not wait?
//
// The main thread of a page may not: it would freeze, and browsers forbid it. So a worker (leader.ts) has the memory and
// computes. Here graphs become plans and words, and everything gets its address, as in ../runtime.ts; then the worker is
// told. What goes wrong while it computes is told by the next read.

import { given } from "../../../basics/given.ts";
import { stateOf } from "../../../graph/state.ts";
import { sizeOf, type Tensor } from "../../../graph/tensor.ts";
import { IndexError } from "../../../ops/indices.ts";
import {
  closedRuntime,
  expectCount,
  expectIntegers,
  notRun,
  outputOf,
  type Outputs,
  type ProgramSpec,
  type Readings,
  releasedProgram,
  tensorsOf,
  valuesOf,
} from "../../program.ts";
import type { Phase } from "../../plan/calls.ts";
import type { ProgramOf, Runtime } from "../../runtime.ts";
import { bytesOf, fromStored, makeNaNsPlain, toStored } from "../../stored.ts";
import { cpuDevice, MAXIMUM_PAGES, PAGE } from "../device.ts";
import { encodeProgram } from "../encode.ts";
import { tooLarge } from "../engine.ts";
import { createHeap } from "../heap.ts";
import { createLayout, type PlacedProgram, reserve, STATIC_BYTES } from "../layout.ts";
import { wasmMachine } from "../machine.ts";
import { kernelIndices } from "../module.ts";
import type { WasmOptions } from "../runtime.ts";
import { openLeader } from "./leader-line.ts";
import type { Place, Wrong } from "./orders.ts";

/** Start the CPU runtime in workers of the page; the calling thread is none of its threads. */
export async function startRemoteRuntime(threads: number, { build }: Pick<WasmOptions, "build">): Promise<Runtime> {
  const leader = await openLeader({ threads, ...given({ build }) });
  const { panelWidth } = leader;
  const indexOf = kernelIndices(leader.kernels);
  const machine = wasmMachine({ threads, panelWidth });
  /** As the worker's: both begin with what the threads have. */
  const heap = createHeap(STATIC_BYTES, (bytes) => {
    if (bytes > MAXIMUM_PAGES * PAGE) throw tooLarge(bytes, MAXIMUM_PAGES);
    leader.send("reach", { bytes });
  });
  reserve(heap, cpuDevice({ threads, panelWidth }));

  let closed = false;
  const expectOpen = (operation: string): void => {
    if (closed) throw closedRuntime(operation, "wasm");
    leader.expectThere();
  };
  const set = (address: number, data: ArrayBuffer): void => leader.send("set", { address, data }, [data]);
  const sendProgram = (phases: readonly Phase[], base: number, find: PlacedProgram["placeOf"]): void => {
    const { words, calls } = encodeProgram(phases, base, find, indexOf);
    const named = calls.map(({ record, call: { label } }) => ({ record, call: { label } }));
    leader.send("program", { base, words: words.buffer as ArrayBuffer, calls: named });
  };
  const layout = createLayout(heap, machine, {
    begin({ buffer: { bytes, state }, address }) {
      leader.send("clear", { address, bytes });
      if (state?.values) set(address, Float32Array.from(state.values).buffer);
    },
    move: (from, to, bytes) => leader.send("move", { from, to, bytes }),
    write: sendProgram,
    drop: (base) => leader.send("forget", { base }),
  });
  const placeOf = (tensor: Tensor): Place => ({ address: layout.state(tensor).address, bytes: bytesOf(tensor) });

  /** The program whose values are in the arena. */
  let latest: object | undefined;
  /** By their addresses: the states that a program updates. */
  const updatedBy = new Map<number, readonly string[]>();
  const errorOf = ({ message, index }: Wrong): Error => {
    if (!index) return new Error(message);
    latest = undefined;
    const { base, operation, offence, scope } = index;
    return new IndexError(operation, offence, scope).spoiling(updatedBy.get(base) ?? []);
  };
  const fetchPlaces = async (places: readonly Place[]): Promise<readonly ArrayBuffer[]> => {
    const answer = await leader.read(places);
    if ("message" in answer) throw errorOf(answer);
    return answer;
  };

  const compile = <const O extends Outputs>(spec: ProgramSpec<O>): ProgramOf<Readings<O>> => {
    expectOpen("compile");
    const placed = layout.place(spec, false, ({ plan, base, placeOf: find }) => sendProgram(plan.phases, base, find));
    const { plan, base, prepared } = placed;
    updatedBy.set(
      base,
      (spec.updates ?? []).map(([state]) => stateOf(state)?.name ?? "tensor"),
    );
    let released = false;
    const expectThere = (operation: string): void => {
      expectOpen(operation);
      if (released) throw releasedProgram(operation);
    };
    const program: ProgramOf<Readings<O>> = {
      plan,
      run() {
        expectThere("run");
        for (const stale of prepared.takeStale()) leader.send("run", { base: stale });
        leader.send("run", { base });
        for (const [state] of spec.updates ?? []) layout.changed(plan.bufferOf(state));
        latest = program;
      },
      async read(name) {
        expectThere("read");
        const output = outputOf(spec.outputs, name);
        if (latest !== program) throw notRun(name);
        const tensors = [...new Set(tensorsOf(output))];
        const values = await fetchPlaces(
          tensors.map((tensor) => {
            const buffer = plan.outputs.get(tensor);
            const place = buffer && placed.placeOf(buffer);
            if (!place || "local" in place) throw notRun(name);
            return { address: place.address, bytes: bytesOf(tensor) };
          }),
        );
        const found = new Map(tensors.map((tensor, at) => [tensor, fromStored(tensor, values[at]!)]));
        return valuesOf(output, (tensor) => found.get(tensor)!.slice());
      },
      release() {
        if (released) return;
        released = true;
        if (latest === program) latest = undefined;
        leader.send("forget", { base });
        updatedBy.delete(base);
        placed.release();
      },
    };
    return program;
  };

  return {
    name: machine.name,
    device: machine.device,
    kernels: `${leader.build} ${panelWidth}`,
    ...given({ kernelCode: leader.kernelCode }),
    machine,
    compile,
    write(tensor, values) {
      expectOpen("write");
      const { address } = placeOf(tensor);
      const name = stateOf(tensor)?.name ?? "tensor";
      expectCount(name, values, sizeOf(tensor.shape), tensor.shape);
      if (tensor.dtype === "i32") expectIntegers(name, values);
      const data = toStored(tensor, values);
      if (values instanceof Float32Array) makeNaNsPlain(data);
      set(address, data.buffer);
      layout.changed(layout.state(tensor).buffer);
    },
    async read(tensor) {
      expectOpen("read");
      const [bytes] = await fetchPlaces([placeOf(tensor)]);
      return fromStored(tensor, bytes!);
    },
    forget: (tensor) => layout.forget(tensor),
    memoryBytes: () => heap.used(),
    async finish() {
      expectOpen("finish");
      await fetchPlaces([]);
    },
    close() {
      if (closed) return;
      closed = true;
      leader.stop();
    },
  };
}
