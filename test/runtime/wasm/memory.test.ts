// Memory of the CPU runtime that is given back: programs and states come and go, and what stays keeps its values.

import { afterAll, beforeAll, expect, test } from "vitest";
import { constant, input, parameter, persistent } from "../../../src/graph/state.ts";
import type { Tensor } from "../../../src/graph/tensor.ts";
import { add, multiply, square } from "../../../src/ops/elementwise.ts";
import { gradients } from "../../../src/ops/gradients.ts";
import { matmul } from "../../../src/ops/matmul.ts";
import { sum } from "../../../src/ops/reductions.ts";
import type { TensorValues } from "../../../src/runtime/program.ts";
import { createReferenceRuntime } from "../../../src/runtime/reference/runtime.ts";
import { createWasmRuntime } from "../../../src/runtime/wasm/node/runtime.ts";
import type { WasmProgram, WasmRuntime } from "../../../src/runtime/wasm/runtime.ts";

/** Of two and three threads. */
const open: WasmRuntime[] = [];
let runtime: WasmRuntime;
beforeAll(async () => {
  for (const threads of [2, 3]) open.push(await createWasmRuntime({ threads }));
  runtime = open[0]!;
});
afterAll(() => open.forEach((opened) => opened.close()));

/** A network of some width and what it learns from, of another shape each time. */
const compileOne = (
  width: number,
): { program: WasmProgram<{ readonly loss: Tensor; readonly gradient: Tensor }>; state: Tensor } => {
  const [x, state] = [input("x", [64, width]), persistent("w", [width, width])];
  const loss = sum(square(matmul(matmul(x, state), state)));
  const program = runtime.compile({ outputs: { loss, gradient: gradients(loss, [state])[0]! } });
  runtime.write(x, wave(64 * width));
  runtime.write(state, wave(width * width));
  return { program, state };
};
const wave = (size: number): Float32Array => Float32Array.from({ length: size }, (_, i) => Math.sin(i) / 8);

test("programs that are compiled and released in turn do not let the memory grow, and give the same bits", () => {
  const widths = [48, 120, 24, 90];
  const round = (): TensorValues[] =>
    widths.map((width) => {
      const { program, state } = compileOne(width);
      program.run();
      const gradient = program.readNow("gradient");
      program.release();
      runtime.forget(state);
      return gradient;
    });
  const expected = round();
  const bytes = runtime.memoryBytes();
  for (let i = 0; i < 6; i++) expect(round()).toEqual(expected);
  expect(runtime.memoryBytes()).toBe(bytes);
});
test("a program whose arena moves for a larger one keeps its values and goes on with the same bits", async () => {
  const own = await createWasmRuntime({ threads: 2 });
  const x = input("x", [50, 40]);
  const y = matmul(square(x), x, { transposeA: true });
  const program = own.compile({ outputs: { y, squares: square(y) } });
  own.write(x, wave(2000));
  program.run();
  const expected = [program.readNow("y"), program.readNow("squares")];
  const first = program.peek(program.plan.bufferOf(y));
  for (const size of [200, 400, 800]) {
    const big = input("big", [size, size]);
    own.compile({ outputs: { z: square(matmul(big, big)) } });
    expect([program.readNow("y"), program.readNow("squares"), program.peek(program.plan.bufferOf(y))]).toEqual([
      ...expected,
      first,
    ]);
    program.run();
    expect([program.readNow("y"), program.readNow("squares")]).toEqual(expected);
  }
  own.close();
});
test("a state that begins anew where others were holds zeros, a constant its values", () => {
  for (const on of [runtime, createReferenceRuntime()]) {
    for (const fill of [1, 2]) {
      const [count, c] = [persistent("count", [5]), constant([1, 2, 3, 4, 5], [5])];
      const program = on.compile({ outputs: { sum: add(count, c) } });
      program.run();
      expect([...program.readNow("sum")]).toEqual([1, 2, 3, 4, 5]);
      on.write(count, Array(5).fill(fill));
      program.release();
      expect([...on.readNow(count)]).toEqual(Array(5).fill(fill));
      on.forget(count);
      expect([...on.readNow(count)]).toEqual(Array(5).fill(0));
    }
  }
});
test("a program that is released right after its run leaves no thread behind in its last barrier", () => {
  const x = input("x", [4]);
  for (const on of open) {
    on.write(x, [1, 2, 3, 4]);
    const kept = on.compile({ outputs: { y: square(x) } });
    // The next program lies where the last one did; a thread that still read its words would wait for ever.
    for (let round = 0; round < 300; round++) {
      const program = on.compile({ outputs: { y: square(x) } });
      program.run();
      expect([...program.readNow("y")]).toEqual([1, 4, 9, 16]);
      program.release();
    }
    kept.release();
  }
});

test("what another program has stays; a released program cannot run, and a state in use cannot be forgotten", () => {
  for (const on of [runtime, createReferenceRuntime()]) {
    const [x, w] = [input("x", [2]), parameter("w", [2])];
    const [one, two] = [on.compile({ outputs: { y: add(x, w) } }), on.compile({ outputs: { z: multiply(x, w) } })];
    on.write(x, [2, 3]);
    on.write(w, [5, 7]);
    expect(() => on.forget(w)).toThrow("forget: 2 programs have w; release them first.");
    one.release();
    one.release();
    expect(() => one.run()).toThrow(
      "this program has been released; what it needs in memory is there only until then. Compile it again.",
    );
    two.run();
    expect([...two.readNow("z")]).toEqual([10, 21]);
    two.release();
    expect([...on.readNow(w)]).toEqual([5, 7]);
    on.forget(w);
  }
});
test("a program that does not fit takes nothing with it", async () => {
  const small = await createWasmRuntime({ threads: 1 });
  const x = input("x", [4]);
  const program = small.compile({ outputs: { y: square(x) } });
  small.write(x, [1, 2, 3, 4]);
  const huge = input("huge", [1 << 15, 1 << 15]);
  for (let i = 0; i < 2; i++)
    expect(() => small.compile({ outputs: { y: square(huge) } })).toThrow(/^Out of memory: \d+ MiB are needed/);
  program.run();
  expect([...program.readNow("y")]).toEqual([1, 4, 9, 16]);
  expect(small.memoryBytes()).toBeLessThan(2 ** 24);
  small.close();
});
