// Question: what do the operations of mHC move and compute for each token?
//
// Tables for docs/derivations/, made from the operations themselves: bytes from the shapes of their
// tensors, FLOPs from their `flops`, and what a compiled step moves from its plan. Nothing runs.
// scripts/update-derivations.ts puts them into the pages; a test holds the pages to them.

import { markdownTable } from "./markdown.ts";
import { add } from "../src/ops/elementwise.ts";
import { gradients } from "../src/ops/gradients.ts";
import { createParameters } from "../src/graph/parameters.ts";
import { input, stateOf } from "../src/graph/state.ts";
import { ancestors, byteSize, flopsOf, type Node, type Tensor } from "../src/graph/tensor.ts";
import { modelSchema } from "../src/model/config.ts";
import { languageModel } from "../src/model/language-model.ts";
import { multiply } from "../src/ops/elementwise.ts";
import { manifoldCoefficients } from "../src/ops/manifold-coefficients.ts";
import { sum } from "../src/ops/reductions.ts";
import type { StreamPrecision } from "../src/ops/bfloat16.ts";
import { streamRead } from "../src/ops/stream-read.ts";
import { streamWrite } from "../src/ops/stream-write.ts";
import type { Buffer, CompiledPlan } from "../src/runtime/plan/calls.ts";
import { plannedMachine } from "../src/runtime/machines.ts";
import { compilePlan } from "../src/runtime/plan/compile.ts";

interface Sizes {
  /** Tokens T. */
  readonly tokens: number;
  /** Streams n. */
  readonly streams: number;
  /** Channels C. */
  readonly channels: number;
}

const WIDTHS = [256, 512, 1280];
const ITERATIONS = 20;

/** FLOPs of a token by operation, as sums of products of n, C and M; checked against the operation's `flops`. */
const flopsFormulas: Readonly<Record<string, string>> = {
  streamRead: "2nC",
  streamReadBackward: "4nC",
  streamWrite: "2n²C + 2nC",
  streamWriteBackward: "4n²C + 4nC",
  streamProjection: "2MnC + 2nC",
  streamProjectionBackward: "2MnC + 2nC",
  "product for dφ": "2MnC",
  manifoldCoefficients: "92M",
  manifoldCoefficientsBackward: "218M",
};

/** The node of every operation of a sublayer's connection, forward and backward, by name. */
function nodesOf({ tokens: T, streams: n, channels: C }: Sizes): ReadonlyMap<string, Node> {
  const M = n * (n + 2);
  const x = input("x", [T, n, C]);
  const y = input("y", [T, C]);
  const phi = input("phi", [M, n * C]);
  const [alpha, bias] = [input("alpha", [3]), input("bias", [M])];
  const h = manifoldCoefficients(x, phi, alpha, bias, { iterations: ITERATIONS });
  const [u, next] = [streamRead(x, h), streamWrite(x, h, y)];
  const weigh = (tensor: Tensor): Tensor => sum(multiply(tensor, input("weights", tensor.shape)));
  const nodes = ancestors([u, next, ...gradients(add(weigh(u), weigh(next)), [x, y, phi, alpha, bias])]);
  const isPhi = ({ op, outputs }: Node): boolean =>
    op.name === "matmul" && outputs[0]!.shape.join() === `${M},${n * C}`;
  return new Map(nodes.map((node) => [isPhi(node) ? "product for dφ" : node.op.name, node]));
}

/** How often each kind of tensor is among an operation's operands; weights, the same for all tokens, are apart. */
interface Operands {
  /** [T, n, C] */
  readonly streams: number;
  /** [T, C] */
  readonly channels: number;
  /** [T, M] */
  readonly coefficients: number;
  /** [T, 1] */
  readonly numbers: number;
}

function countOperands(tensors: readonly Tensor[], { tokens: T, streams: n, channels: C }: Sizes): Operands {
  const of = (...shape: number[]): number => tensors.filter((tensor) => tensor.shape.join() === shape.join()).length;
  return {
    streams: of(T, n, C) + of(T, n * C),
    channels: of(T, C),
    coefficients: of(T, n * (n + 2)),
    numbers: of(T, 1),
  };
}

function symbols({ streams, channels, coefficients, numbers }: Operands): string {
  const term = (count: number, symbol: string): string[] =>
    count === 0 ? [] : [count > 1 || symbol === "" ? `${count}${symbol}` : symbol];
  const terms = [...term(streams, "nC"), ...term(channels, "C"), ...term(coefficients, "M"), ...term(numbers, "")];
  return terms.length > 0 ? terms.join(" + ") : "-";
}

function bytes(operands: Operands, { streams: n, channels: C }: Sizes, streamBytes: number): number {
  const floats = operands.channels * C + operands.coefficients * n * (n + 2) + operands.numbers;
  return streamBytes * operands.streams * n * C + 4 * floats;
}

/** The value of a formula such as "2n²C + 2nC". */
export function evaluate(formula: string, { streams: n, channels: C }: Sizes): number {
  const values: Readonly<Record<string, number>> = { n, C, M: n * (n + 2) };
  return formula.split(" + ").reduce((total, term) => {
    const [, factor, letters] = /^(\d*)((?:[nCM]²?)*)$/.exec(term)!;
    const powers = letters!.matchAll(/([nCM])(²?)/g);
    return total + [...powers].reduce((p, [, s, square]) => p * values[s!]! ** (square ? 2 : 1), Number(factor || 1));
  }, 0);
}

/** Sizes whose n, C, nC, M and T are all different, so that a shape tells what it is. */
const TELLING: readonly Sizes[] = [
  { tokens: 101, streams: 3, channels: 7 },
  { tokens: 53, streams: 4, channels: 10 },
];

function find(name: string, sizes: Sizes): Node {
  const nodes = nodesOf(sizes);
  const node = nodes.get(name);
  if (!node) throw new Error(`No operation of mHC is called "${name}"; there are: ${[...nodes.keys()].join(", ")}.`);
  return node;
}

function flopsFormula(name: string): string {
  const formula = flopsFormulas[name]!;
  for (const sizes of TELLING) {
    const node = find(name, sizes);
    const counted = flopsOf(node) / sizes.tokens;
    if (counted === evaluate(formula, sizes)) continue;
    throw new Error(
      `${name} counts ${counted} FLOPs a token at n = ${sizes.streams}, C = ${sizes.channels}; the formula "${formula}" in ` +
        "scripts/derivation-tables.ts says otherwise.",
    );
  }
  return formula;
}

/** What each operation reads, writes and computes for a token, in symbols. */
export function operationTable(names: readonly string[]): string {
  const sizes = TELLING[0]!;
  const rows = names.map((name) => {
    const { inputs, outputs } = find(name, sizes);
    const [from, to] = [inputs, outputs].map((tensors) => symbols(countOperands(tensors, sizes)));
    return [code(name), from!, to!, flopsFormula(name)];
  });
  return `${markdownTable(["operation", "reads", "writes", "FLOPs"], rows)}\n`;
}

/** The same as numbers, n = 4: bytes read and written with streams kept as float32 and as bfloat16, FLOPs. */
export function numberTable(names: readonly string[]): string {
  const rows = names.flatMap((name) => {
    const of = (value: (node: Node, sizes: Sizes) => number): string[] =>
      WIDTHS.map((channels) => {
        const sizes = { tokens: 1001, streams: 4, channels };
        return value(find(name, sizes), sizes).toLocaleString("en-US");
      });
    const moved = (streamBytes: number) =>
      of(({ inputs, outputs }, sizes) => bytes(countOperands([...inputs, ...outputs], sizes), sizes, streamBytes));
    return [
      [code(name), "bytes, float32 streams", ...moved(4)],
      ["", "bytes, bfloat16 streams", ...moved(2)],
      ["", "FLOPs", ...of((node, { tokens }) => flopsOf(node) / tokens)],
    ];
  });
  return `${markdownTable(["operation", "a token, n = 4", ...WIDTHS.map((width) => `C = ${width}`)], rows)}\n`;
}

const code = (name: string): string => (name.includes(" ") ? name : `\`${name}\``);

// --- what a compiled step moves ------------------------------------------------------------------

const PARTS = {
  forward: ["streamProjection", "streamRead", "streamWrite"],
  backward: ["streamWriteBackward", "streamReadBackward", "streamProjectionBackward"],
  "product for dφ": ["product for dφ"],
} as const;
type Part = keyof typeof PARTS;

interface Moved {
  /** Times that all streams [n, C] of a token are read from memory, and written to it. */
  readonly reads: number;
  readonly writes: number;
}

/** The plan of a model's forward and backward, and the bytes of all its tokens' streams. */
function compileModel(layers: number, streamPrecision: StreamPrecision): { plan: CompiledPlan; streamBytes: number } {
  const [context, width, streams, heads] = [100, 256, 4, 8];
  const parameters = createParameters();
  const connection = { kind: "mhc", streams, streamPrecision };
  const size = { context, width, layers, heads, kvHeads: heads, hidden: (11 * width) / 4 };
  const model = languageModel(modelSchema.parse({ vocabulary: 64, ...size, connection }), parameters);
  const tokens = input("tokens", [1, context], "i32");
  const loss = model.loss(model.hidden(tokens).hidden_NC, input("targets", [1, context], "i32"));
  const wrt = parameters.all.map(({ tensor }) => tensor);
  const outputs = { loss, ...Object.fromEntries(gradients(loss, wrt).map((found, index) => [`${index}`, found])) };
  const states = new Map<Tensor, Buffer>();
  const stateBuffer = (tensor: Tensor): Buffer => {
    const state = stateOf(tensor)!;
    const buffer = states.get(tensor) ?? { name: state.name, bytes: byteSize(tensor), state };
    states.set(tensor, buffer);
    return buffer;
  };
  const plan = compilePlan({ outputs }, plannedMachine({ threads: 2 }), { stateBuffer });
  return { plan, streamBytes: (streamPrecision === "bfloat16" ? 2 : 4) * context * streams * width };
}

/** Streams moved by the chains of a model: what a chain writes itself it need not read. */
function streamsMoved(layers: number, precision: StreamPrecision): Readonly<Record<Part, Moved>> {
  const { plan, streamBytes } = compileModel(layers, precision);
  const { sharing, locals } = plan.arena;
  const moved = Object.fromEntries(Object.keys(PARTS).map((part) => [part, { reads: 0, writes: 0 }]));
  for (const { calls } of plan.phases.flat()) {
    const [reads, writes] = [new Set<Buffer>(), new Set<Buffer>()];
    for (const operand of calls.flatMap(({ operands }) => operands)) {
      if (operand?.buffer.bytes !== streamBytes) continue;
      const place = sharing.get(operand.buffer) ?? operand.buffer;
      if (locals.has(place)) continue;
      if (operand.access === "write") writes.add(place);
      else if (!writes.has(place)) reads.add(place);
    }
    const inBackward = calls.some(({ label }) => label.includes("gradient"));
    const part = calls[0]!.kernel.startsWith("gemmOuter") ? "product for dφ" : inBackward ? "backward" : "forward";
    moved[part]!.reads += reads.size;
    moved[part]!.writes += writes.size;
  }
  return moved as Record<Part, Moved>;
}

/** Passes over the streams for each block of two sublayers: operation by operation, and in a compiled step. */
export function trafficTable(): string {
  const sizes = TELLING[0]!;
  const parts = Object.keys(PARTS) as Part[];
  const alone = (side: "inputs" | "outputs") =>
    parts.map((part) =>
      PARTS[part].reduce((total, name) => total + 2 * countOperands(find(name, sizes)[side], sizes).streams, 0),
    );
  const compiled = (precision: StreamPrecision): number[][] => {
    // One block more: embedding, head, and the chain in which forward meets backward, drop out.
    const [few, more] = [streamsMoved(3, precision), streamsMoved(4, precision)];
    return (["reads", "writes"] as const).map((access) => parts.map((part) => more[part][access] - few[part][access]));
  };
  const columns = [alone("inputs"), alone("outputs"), ...compiled("float32"), ...compiled("bfloat16")];
  const rows = parts.map((part, index) => [part, ...columns.map((column) => String(column[index]))]);
  const total = ["all", ...columns.map((column) => String(column.reduce((sum, count) => sum + count, 0)))];
  const head = ["alone", "compiled, float32", "compiled, bfloat16"].flatMap((how) => [`${how}: read`, "written"]);
  return `${markdownTable(["passes over the streams", ...head], [...rows, total])}\n`;
}

/** A Markdown table. */
// --- the pages -----------------------------------------------------------------------------------

const makers: Readonly<Record<string, (names: readonly string[]) => string>> = {
  operations: operationTable,
  numbers: numberTable,
  traffic: trafficTable,
};

/** A page with its tables made anew: those between `<!-- KIND: name, name -->` and `<!-- end -->`. */
export function withTables(page: string): string {
  return page.replace(
    /(<!-- (\w+)(?:: ([^>]*))? -->\n)[^]*?(<!-- end -->)/g,
    (_, open: string, kind: string, names: string | undefined, close: string) => {
      const make = makers[kind];
      if (!make) throw new Error(`No table is called "${kind}"; there are: ${Object.keys(makers).join(", ")}.`);
      return `${open}\n${make(names?.split(", ") ?? [])}\n${close}`;
    },
  );
}
