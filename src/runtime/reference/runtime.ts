// Question: what is the right answer?
//
// The oracle: every node in order, in float64, by the plain loops of its operation. Slow, and nothing else.

import { named } from "../../graph/named.ts";
import { stateOf } from "../../graph/state.ts";
import { ancestors, type Node, sizeOf, type Tensor, Values } from "../../graph/tensor.ts";
import { IndexError } from "../../ops/indices.ts";
import { expectCount, inUse, type Program, type ProgramSpec, type Runtime } from "../program.ts";

/** The float64 runtime: what it reads is Float64Array. */
export interface ReferenceRuntime extends Runtime {
  compile(spec: ProgramSpec): Program & { read(output: string): Float64Array };
  read(state: Tensor): Float64Array;
}

/**
 * The oracle: every operation by its plain loops, in float64, on one thread. Slow; for small graphs, for
 * checking gradients by finite differences, and for looking at numbers without rounding in the way.
 */
export function createReferenceRuntime(): ReferenceRuntime {
  const states = new Map<Tensor, Float64Array>();
  /** Of each state, how many programs have it. */
  const users = new Map<Tensor, number>();
  const stateData = (tensor: Tensor): Float64Array => {
    let data = states.get(tensor);
    if (!data)
      states.set(tensor, (data = Float64Array.from(stateOf(tensor)?.values ?? new Float64Array(sizeOf(tensor.shape)))));
    return data;
  };

  const execute = (nodes: readonly Node[]): Map<Tensor, Values> => {
    const values = new Map<Tensor, Values>();
    for (const node of nodes) {
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
      node.outputs.forEach((tensor, index) => values.set(tensor, outputs[index]!));
    }
    return values;
  };

  return {
    compile({ outputs, updates = [] }) {
      const nodes = ancestors([...Object.values(outputs), ...updates.map(([, value]) => value)]);
      const results = new Map<string, Float64Array>();
      const own = nodes.flatMap((node) => node.outputs).filter((tensor) => stateOf(tensor));
      let released = false;
      for (const state of own) users.set(state, (users.get(state) ?? 0) + 1);
      return {
        run() {
          if (released) throw new Error("This program has been released; compile it again.");
          const values = execute(nodes);
          for (const [name, tensor] of Object.entries(outputs)) results.set(name, values.get(tensor)!.data.slice());
          const next = updates.map(([state, value]) => [state, values.get(value)!.data.slice()] as const);
          for (const [state, data] of next) stateData(state).set(data);
        },
        read(output) {
          const data = results.get(output);
          if (!data)
            throw new Error(
              `read: no output "${output}"; there are: ${Object.keys(outputs).join(", ")} (after run()).`,
            );
          return data;
        },
        release() {
          if (released) return;
          released = true;
          results.clear();
          for (const state of own) {
            const left = users.get(state)! - 1;
            users.set(state, left);
            if (left === 0 && ["input", "constant"].includes(stateOf(state)!.kind)) states.delete(state);
          }
        },
      };
    },
    forget(state) {
      const count = users.get(state) ?? 0;
      if (count > 0) throw inUse(stateOf(state)!.name, count);
      states.delete(state);
    },
    write(state, values) {
      expectCount(stateOf(state)?.name ?? "tensor", values.length, sizeOf(state.shape), state.shape);
      stateData(state).set(values);
    },
    read: (state) => stateData(state).slice(),
    close() {},
  };
}
