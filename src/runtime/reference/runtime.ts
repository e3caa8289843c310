// Question: what is the right answer?
//
// The oracle: every node in order, in float64, by the plain loops of its operation. Slow, and nothing else.

import { expectFields } from "../../basics/fields.ts";
import { named } from "../../graph/named.ts";
import { stateOf } from "../../graph/state.ts";
import { ancestors, type Node, sizeOf, type Tensor, Values } from "../../graph/tensor.ts";
import { IndexError } from "../../ops/indices.ts";
import type { Device } from "../device.ts";
import {
  expectCount,
  expectIntegers,
  expectSpec,
  notRun,
  outputOf,
  type Outputs,
  type ProgramSpec,
  type Readings,
  closedRuntime,
  releasedProgram,
  resultsOf,
  tensorsOf,
  type TensorValues,
  valuesOf,
} from "../program.ts";
import { createStates } from "../states.ts";
import type { SynchronousProgram, SynchronousRuntime, TracedCall } from "../runtime.ts";

/** It plans nothing, so nothing is cut, packed or aligned. */
const device: Device = {
  threads: 1,
  panelWidth: 1,
  rowTile: 1,
  elementBlock: 1,
  localBytes: 0,
  localAlignment: 1,
  localArguments: 0,
  alignment: 8,
  padding: 0,
  largestMemory: 2 ** 33,
};

/**
 * The oracle: every operation by its plain loops, in float64, on one thread. Slow; for small graphs, for
 * checking gradients by finite differences, and for looking at numbers without rounding in the way.
 */
export function createReferenceRuntime(options: Readonly<Record<string, never>> = {}): SynchronousRuntime {
  expectFields("createReferenceRuntime", options, {});
  const states = createStates<Float64Array>({
    make: ({ state }, { shape }) => Float64Array.from(state?.values ?? new Float64Array(sizeOf(shape))),
    drop() {},
  });
  /** The program that ran last; only its outputs can be read. */
  let latest: object | undefined;
  let closed = false;
  const expectOpen = (operation: string): void => {
    if (closed) throw closedRuntime(operation, "reference");
  };
  const stateData = (tensor: Tensor): Float64Array => states.state(tensor).place;

  const execute = (
    nodes: readonly Node[],
    look?: (call: TracedCall, values: TensorValues) => void,
  ): Map<Tensor, Values> => {
    const values = new Map<Tensor, Values>();
    for (const [index, node] of nodes.entries()) {
      const [first] = node.outputs;
      if (first && stateOf(first)) {
        values.set(first, new Values(first.shape, stateData(first), first.dtype));
        continue;
      }
      const inputs = node.inputs.map((tensor) => values.get(tensor)!);
      const outputs = node.outputs.map(({ shape, dtype }) => new Values(shape, new Float64Array(sizeOf(shape)), dtype));
      try {
        node.op.reference(named(node.op.inputs, inputs), named(node.op.outputs, outputs), node.attributes);
      } catch (error) {
        throw error instanceof IndexError ? error.within(node.scope) : error;
      }
      node.outputs.forEach((tensor, at) => values.set(tensor, outputs[at]!));
      const label = node.scope === "" ? node.op.name : `${node.scope}:${node.op.name}`;
      for (const { data } of outputs) look?.({ label, index }, data);
    }
    return values;
  };

  const compile = <O extends Outputs>(spec: ProgramSpec<O>): SynchronousProgram<O> => {
    expectSpec(spec);
    const { outputs, updates = [] } = spec;
    expectOpen("compile");
    const nodes = ancestors(resultsOf({ outputs, updates }));
    expectRoom(nodes);
    let results = new Map<Tensor, Float64Array>();
    const own = states.enter();
    const computed = nodes.flatMap((node) => node.outputs);
    for (const tensor of [...computed, ...updates.map(([state]) => state)]) if (stateOf(tensor)) own.state(tensor);
    let released = false;
    const run = (operation: string, look?: (call: TracedCall, values: TensorValues) => void): void => {
      expectOpen(operation);
      if (released) throw releasedProgram(operation);
      // After a run that fails there is nothing to read.
      latest = undefined;
      const values = execute(nodes, look);
      results = new Map(tensorsOf(outputs).map((tensor) => [tensor, values.get(tensor)!.data.slice()]));
      const next = updates.map(([state, value]) => [state, values.get(value)!.data.slice()] as const);
      for (const [state, data] of next) stateData(state).set(data);
      latest = program;
    };
    const readNow = <N extends keyof O & string>(name: N): Readings<O>[N] => {
      expectOpen("read");
      if (released) throw releasedProgram("read");
      const output = outputOf(outputs, name);
      if (latest !== program) throw notRun(name);
      return valuesOf(output, (tensor) => inForm(tensor, results.get(tensor)!));
    };
    const program: SynchronousProgram<O> = {
      run: () => run("run"),
      readNow,
      // An async function: what goes wrong rejects the promise.
      read: async (name) => readNow(name),
      trace: (look) => run("trace", look),
      release() {
        if (released) return;
        released = true;
        results.clear();
        if (latest === program) latest = undefined;
        own.leave();
      },
    };
    return program;
  };
  const readNow = (state: Tensor): TensorValues => {
    expectOpen("read");
    return inForm(state, stateData(state));
  };

  return {
    name: "reference",
    device,
    kernels: "reference",
    compile,
    readNow,
    read: async (state) => readNow(state),
    forget: (state) => states.forget(state),
    write(state, values) {
      expectOpen("write");
      const data = stateData(state);
      expectCount(stateOf(state)?.name ?? "tensor", values, data.length, state.shape);
      if (state.dtype === "i32") expectIntegers(stateOf(state)?.name ?? "tensor", values);
      data.set(values);
    },
    finish: () => Promise.resolve(),
    close() {
      closed = true;
    },
  };
}

/** A copy of a tensor's values in the form of its type. */
function inForm({ dtype }: Tensor, data: Float64Array): TensorValues {
  return dtype === "i32" ? Int32Array.from(data) : data.slice();
}

/** Every value is there at once, each in 8 bytes. */
function expectRoom(nodes: readonly Node[]): void {
  const bytes = nodes.flatMap(({ outputs }) => outputs).reduce((sum, { shape }) => sum + 8 * sizeOf(shape), 0);
  if (bytes <= device.largestMemory) return;
  const mebibytes = (count: number): string => `${(count / 2 ** 20).toFixed(0)} MiB`;
  throw new Error(
    `Out of memory: ${mebibytes(bytes)} are needed and the limit of the reference runtime is ${mebibytes(device.largestMemory)}. ` +
      "Use a smaller batch, context or width, or another runtime.",
  );
}
