// Question: how does a program run that waits for other ranks in its midst?
//
// It is cut around the nodes that wait (graph/cut.ts): what lies between two cuts is a program of the runtime, so this
// works on every runtime. What one part makes and another reads lies in states between them. A part that begins messages
// returns at once; the next parts compute while they are under way; the part that needs them waits.
//
//   part      | compute | begin | compute | end | compute | …
//   messages             |←————— under way —————→|

import { given } from "../../basics/given.ts";
import { cutAt, type Step } from "../../graph/cut.ts";
import { input, stateOf } from "../../graph/state.ts";
import {
  ancestors,
  byteSize,
  type DType,
  type Node,
  repeated,
  type Shape,
  sizeOf,
  standing,
  type Tensor,
} from "../../graph/tensor.ts";
import { toBfloat16, toFloat32 } from "../../ops/bfloat16.ts";
import { reshape } from "../../ops/reshape.ts";
import {
  outputOf,
  type Outputs,
  type ProgramSpec,
  resultsOf,
  tensorsOf,
  type TensorValues,
  valuesOf,
} from "../program.ts";
import type { Program, ProgramPart, Runtime, TracedCall } from "../runtime.ts";
import type { Collective } from "./collective.ts";
import { remoteOperations, type UnderWay } from "./expert-rows.ts";

const isRemote = (node: Node): boolean => remoteOperations.has(node.op);

/**
 * A runtime whose programs may wait for other ranks. All ranks run such programs in the same order, part by part:
 * `parts`, and not `run`.
 *
 * @param collective of the ranks that share experts
 */
export function overRanks(runtime: Runtime, collective: Collective): Runtime {
  const places = createPlaces();
  const compile = <const O extends Outputs>(spec: ProgramSpec<O>): Program<O> =>
    ancestors(resultsOf(spec)).some(isRemote) ? compileCut(runtime, collective, places, spec) : runtime.compile(spec);
  // Values that pass by within a part are not shown.
  return { ...runtime, ...given({ machine: runtime.machine && { ...runtime.machine, runsInParts: false } }), compile };
}

/** What is done in one step, and what of the caller's states then holds its next value. */
interface Part {
  run(look?: Look): void | Promise<void>;
  readonly inner?: Program;
  /** Which of the caller's passing values its program makes, in the order of its own. */
  readonly passing: readonly number[];
  readonly updated: readonly Tensor[];
}
type Look = (call: TracedCall, values: TensorValues) => void;

function compileCut<O extends Outputs>(
  runtime: Runtime,
  collective: Collective,
  places: Places,
  spec: ProgramSpec<O>,
): Program<O> {
  const cut = planCut(spec, places);
  const open = new Map<Node, UnderWay>();
  let released = false;
  const valuesIn = async (tensor: Tensor): Promise<TensorValues> =>
    runtime.view?.(tensor) ?? (await runtime.read(tensor));
  // Under way are operations of this program and of others.
  const moveOn = (): void => collective.progress();
  const partOf = (step: CutStep): Part => {
    if ("spec" in step) {
      const inner = runtime.compile(step.spec);
      return {
        inner,
        updated: step.updated,
        passing: step.passing,
        async run(look) {
          if (look && inner.trace) await inner.trace(look);
          else inner.run();
          moveOn();
        },
      };
    }
    if ("begin" in step)
      return {
        updated: [],
        passing: [],
        async run() {
          const { begin, inputs } = step;
          open.set(begin, remoteOperations.get(begin.op)!(begin, await Promise.all(inputs.map(valuesIn)), collective));
        },
      };
    return {
      updated: [],
      passing: [],
      async run() {
        const values = await open.get(step.end)!.done();
        open.delete(step.end);
        for (const [index, output] of step.outputs.entries()) if (output) runtime.write(output, values[index]!);
      },
    };
  };
  const parts: Part[] = [];
  const release = (): void => {
    for (const { inner } of parts) inner?.release();
    if (!released) places.leave((place) => runtime.forget(place));
    released = true;
  };
  let pieces: readonly ProgramPart[];
  places.enter();
  try {
    for (const step of cut.steps) parts.push(partOf(step));
    // Some are filled by messages and read by messages, and no part's program has them: they have memory from the start.
    for (const step of cut.steps)
      for (const output of "end" in step ? step.outputs : [])
        if (output && places.reserve(output)) runtime.write(output, zerosOf(output));
    // They are run in no other way, and take their place at once.
    pieces = parts.flatMap(partsOf);
  } catch (error) {
    release();
    throw error;
  }
  const arenas = parts.map(({ inner }) => inner?.plan?.arena.bytes ?? 0);
  return {
    waits: true,
    bytes: cut.betweenBytes + Math.max(...arenas),
    run() {
      throw new Error(
        "run: this program waits for other ranks within it; execute its parts one after another, and await each.",
      );
    },
    async read(name) {
      const output = outputOf(spec.outputs, name);
      const wanted = tensorsOf(output);
      const values = await Promise.all(wanted.map((tensor) => runtime.read(cut.outputs.get(tensor)!)));
      const found = new Map(wanted.map((tensor, index) => [tensor, values[index]!]));
      return valuesOf(output, (tensor) => found.get(tensor)!);
    },
    parts: () => pieces,
    async trace(look) {
      let first = 0;
      for (const part of parts) {
        let last = first;
        await part.run((call, values) => {
          last = Math.max(last, first + call.index + 1);
          look({ ...call, index: first + call.index }, values);
        });
        first = last;
      }
    },
    release,
  };

  /** A part in as many as the runtime can make of it: messages are moved on between them. */
  function partsOf({ run, inner, updated, passing }: Part): readonly ProgramPart[] {
    const own = inner?.parts?.();
    // Messages are made of what programs have made; a program without parts may read any parameter.
    if (!own) return [{ run: () => run(), ...given({ reads: inner ? undefined : [] }), updated, passing: [] }];
    const wanted = new Set(updated);
    return own.map((piece) => ({
      run(meanwhile) {
        const ended = piece.run(() => {
          moveOn();
          meanwhile?.();
        });
        moveOn();
        return ended;
      },
      ...given({ reads: piece.reads }),
      updated: piece.updated.filter((state) => wanted.has(state)),
      passing: piece.passing.map(({ index, view }) => ({ index: passing[index]!, view })),
    }));
  }
}

type CutStep =
  | { readonly spec: ProgramSpec; readonly updated: readonly Tensor[]; readonly passing: readonly number[] }
  | { readonly begin: Node; readonly inputs: readonly Tensor[] }
  | { readonly end: Node; readonly outputs: readonly (Tensor | undefined)[] };

/** The parts of a program, and where its outputs are read. */
function planCut(
  { outputs, updates = [], passing = [] }: ProgramSpec,
  places: Places,
): {
  readonly steps: readonly CutStep[];
  readonly outputs: ReadonlyMap<Tensor, Tensor>;
  /** What the states between the parts take. */
  readonly betweenBytes: number;
} {
  const wanted = tensorsOf(outputs);
  const steps = cutAt([...wanted, ...updates.map(([, value]) => value), ...passing], isRemote);
  const made = new Map<Node, number>();
  for (const [index, step] of steps.entries())
    for (const node of "compute" in step ? step.compute : "end" in step ? [step.end] : []) made.set(node, index);
  /** Where a value that no step makes is read: a state, or what has no inputs. */
  const firstCompute = steps.findIndex((step) => "compute" in step);
  const madeIn = ({ node }: Tensor): number => made.get(node) ?? firstCompute;
  const endOf = new Map(steps.flatMap((step, index) => ("end" in step ? [[step.end, index] as const] : [])));

  // A state may change when nobody reads what it held any more.
  const lastRead = new Map<Tensor, number>();
  for (const [index, step] of steps.entries())
    for (const tensor of readsOf(step)) if (stateOf(tensor)) lastRead.set(tensor, index);
  /** What other ranks have made is copied by the next step that computes. */
  const computesFrom = (step: number): number => {
    const next = steps.findIndex((each, index) => index >= step && "compute" in each);
    return next >= 0 ? next : steps.push({ compute: [] }) - 1;
  };
  const changed = updates.map(
    ([state, value]) => [computesFrom(Math.max(madeIn(value), lastRead.get(state) ?? 0)), state, value] as const,
  );

  /** Of each value that one step makes and another reads, the step that reads it last. */
  const until = new Map<Tensor, number>();
  const keepUntil = (tensor: Tensor, step: number): void => {
    if (made.has(tensor.node) || wanted.includes(tensor)) until.set(tensor, Math.max(step, until.get(tensor) ?? 0));
  };
  for (const [index, step] of steps.entries())
    for (const tensor of readsOf(step)) {
      const last = "begin" in step ? endOf.get(step.begin)! : index;
      if (madeIn(tensor) !== index || "begin" in step) keepUntil(tensor, last);
    }
  for (const [index, , value] of changed) if (madeIn(value) !== index) keepUntil(value, index);
  for (const tensor of wanted) keepUntil(tensor, Number.POSITIVE_INFINITY);

  const placed = places.assign(
    steps.length,
    [...until].map(([tensor, last]) => ({ tensor, first: madeIn(tensor), last })),
  );
  const kept = (tensor: Tensor): Tensor => placed.get(tensor) ?? tensor;
  const planned = steps.map((step, index): CutStep => {
    if ("begin" in step) return { begin: step.begin, inputs: step.begin.inputs.map(kept) };
    if ("end" in step) return { end: step.end, outputs: step.end.outputs.map((output) => placed.get(output)) };
    const placeOf = rebuilt(step.compute, placed);
    const own = changed.filter(([at]) => at === index);
    const keeps = [...placed].filter(([tensor]) => madeIn(tensor) === index && "compute" in steps[index]!);
    const passed = passing.flatMap((tensor, at) => (madeIn(tensor) === index ? [at] : []));
    return {
      passing: passed,
      spec: {
        outputs: {},
        passing: passed.map((at) => placeOf(passing[at]!)),
        updates: [
          ...keeps.map(([tensor, place]) => [place, storedForm(placeOf(tensor))] as const),
          ...own.map(([, state, value]) => [state, storedForm(placeOf(value))] as const),
        ],
      },
      updated: own.map(([, state]) => state),
    };
  });
  return {
    steps: planned,
    outputs: new Map(wanted.map((tensor) => [tensor, kept(tensor)])),
    betweenBytes: [...new Set(placed.values())].reduce((sum, place) => sum + byteSize(place), 0),
  };
}

function readsOf(step: Step): readonly Tensor[] {
  if ("compute" in step) return step.compute.flatMap(({ inputs }) => inputs);
  return "begin" in step ? step.begin.inputs : [];
}

/** The nodes of a step over the states that hold what other steps made. */
function rebuilt(nodes: readonly Node[], placed: ReadonlyMap<Tensor, Tensor>): (tensor: Tensor) => Tensor {
  const own = new Set(nodes);
  const made = new Map<Tensor, Tensor>();
  const placeOf = (tensor: Tensor): Tensor => {
    const known = made.get(tensor);
    if (known) return known;
    const place = own.has(tensor.node) ? undefined : placed.get(tensor);
    const found = place ? (tensor.dtype === "bf16" ? toBfloat16(place) : place) : tensor;
    made.set(tensor, found);
    return found;
  };
  for (const node of nodes) {
    const inputs = node.inputs.map(placeOf);
    // A copy waits for its gradient within the step; one that was made before need not be waited for.
    const again =
      node.again && own.has(node.again.after.node) ? { ...node.again, after: placeOf(node.again.after) } : undefined;
    if (inputs.every((each, index) => each === node.inputs[index]) && again?.after === node.again?.after) continue;
    const next = standing({ ...node, again }, () => repeated(node, inputs));
    node.outputs.forEach((output, index) => made.set(output, next.outputs[index]!));
  }
  return placeOf;
}

const zerosOf = ({ shape, dtype }: Tensor): TensorValues =>
  dtype === "i32" ? new Int32Array(sizeOf(shape)) : new Float32Array(sizeOf(shape));

/** A value as a state can hold it. */
function storedForm(value: Tensor): Tensor {
  if (value.dtype === "bf16") return toFloat32(value);
  // What nothing computes in this step is copied.
  return stateOf(value) ? reshape(value, value.shape) : value;
}

/** States that hold values between the parts of programs. Programs do not run at the same time, so they share them. */
interface Places {
  assign(
    steps: number,
    values: readonly { readonly tensor: Tensor; readonly first: number; readonly last: number }[],
  ): ReadonlyMap<Tensor, Tensor>;
  /** Whether this is the first time that a place is reserved. */
  reserve(place: Tensor): boolean;
  /** A program has them. */
  enter(): void;
  /** It has them no more; where it was the last that had, they are forgotten: those that no part's program has, too. */
  leave(forget: (place: Tensor) => void): void;
}

function createPlaces(): Places {
  const all = new Map<string, Tensor[]>();
  const reserved = new Set<Tensor>();
  let users = 0;
  const keyOf = (shape: Shape, dtype: DType): string => `${dtype === "i32" ? "i32" : "f32"} ${shape.join(" ")}`;
  return {
    assign(steps, values) {
      const free = new Map([...all].map(([key, list]) => [key, [...list]]));
      const placed = new Map<Tensor, Tensor>();
      for (let step = 0; step < steps; step++) {
        for (const { tensor, first } of values) {
          if (first !== step) continue;
          const { shape, dtype } = tensor;
          const key = keyOf(shape, dtype);
          let place = free.get(key)?.pop();
          if (!place) {
            const list = all.get(key) ?? [];
            place = input(`between ${key} ${list.length}`, shape, dtype === "i32" ? "i32" : "f32");
            all.set(key, [...list, place]);
          }
          placed.set(tensor, place);
        }
        for (const { tensor, last } of values)
          if (last === step) {
            const key = keyOf(tensor.shape, tensor.dtype);
            free.set(key, [...(free.get(key) ?? []), placed.get(tensor)!]);
          }
      }
      return placed;
    },
    reserve(place) {
      const first = !reserved.has(place);
      reserved.add(place);
      return first;
    },
    enter: () => void users++,
    leave(forget) {
      if (--users > 0) return;
      for (const place of [...all.values()].flat()) forget(place);
      all.clear();
      reserved.clear();
    },
  };
}
