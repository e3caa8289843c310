// Question: what does one training step cost, against the same model in PyTorch and against our own residual
// one?
//
// A step is forward, backward, clipping of the gradient's norm and AdamW, on two threads. The model below has plain
// residuals, HC or mHC with four streams. Speeds compare medians.

import { given } from "../src/basics/given.ts";
import { type Comparison, contest, type Entrant, labelOf, type Result } from "./lib/contest.ts";
import type { Group, GroupOptions } from "./lib/group.ts";
import { timing } from "./lib/interleave.ts";
import { type Hello, startPeer, threadEnvironment } from "./lib/peer.ts";
import { type Figure, milliseconds, rate, ratio, type Side } from "./lib/report.ts";

const MODEL = { layers: 4, channels: 256, heads: 8, tokens: 256, batch: 8, vocabulary: 1024 };
const THREADS = 2;
const TOKENS = MODEL.batch * MODEL.tokens;
const COLD_STARTS = 5;

const setting = Object.entries({ ...MODEL, threads: THREADS }).flatMap(([name, value]) => [`--${name}`, `${value}`]);

function birkhoff(connection: string, precision = "float32"): Entrant {
  const script = new URL("peers/our-step.ts", import.meta.url);
  const args = ["--connection", connection, "--precision", precision, ...setting];
  return { ours: true, script, args, threads: THREADS };
}

function torch(connection: string, mode: "eager" | "compile"): Entrant {
  const script = new URL("peers/serve.py", import.meta.url);
  const args = ["step", "--connection", connection, "--mode", mode, ...setting];
  const remark = mode === "compile" ? { remark: "its C++ compiler may take two minutes" } : {};
  return { ours: false, script, args, threads: THREADS, ...remark };
}

const entrants: Readonly<Record<string, Entrant>> = {
  "birkhoff residual": birkhoff("residual"),
  "birkhoff mhc": birkhoff("mhc"),
  "birkhoff hc": birkhoff("hc"),
  "birkhoff bfloat16 mhc": birkhoff("mhc", "bfloat16"),
  "birkhoff bfloat16 residual": birkhoff("residual", "bfloat16"),
  "birkhoff fp8 mhc": birkhoff("mhc", "fp8"),
  "torch eager residual": torch("residual", "eager"),
  "torch eager mhc": torch("mhc", "eager"),
  "torch eager hc": torch("hc", "eager"),
  "torch compile mhc": torch("mhc", "compile"),
};

// --- the two sides of each figure ---------------------------------------------------------------

function speed({ timing }: Result): Side {
  return rate(timing, "median", "tokens/s", (ms) => (1000 * TOKENS) / ms);
}

function time({ timing }: Result): Side {
  return milliseconds(timing, "median");
}

/** The peak memory of the whole process: its libraries, the model, the compiler of the step, everything. */
function peakMemory({ hello, timing: { label }, replies }: Result): Side {
  const mebibytes = replies.at(-1)!.peak_rss_bytes / 2 ** 20;
  const base = Math.round(hello.base_rss_bytes / 2 ** 20);
  return { label: `${label}, ${base} of it before the model`, value: mebibytes, unit: "MiB" };
}

function part(what: string, { timing: { label }, replies }: Result, key: "step_ms" | "javascript_ms"): Side {
  return milliseconds(
    timing(
      `${label}, ${what}`,
      replies.map((reply) => reply[key]!),
    ),
    "median",
  );
}

type Direction = { readonly higher_is_better: boolean; readonly bar?: number };

function compare(
  name: string,
  of: (result: Result) => Side,
  [ours, theirs]: [string, string],
  direction: Direction,
): Comparison {
  return {
    name,
    needs: [ours, theirs],
    measure: (results) => ratio(name, of(results(ours)), of(results(theirs)), direction),
  };
}

function againstTorch(name: string, mode: "eager" | "compile", connection: string, bar?: number): Comparison {
  const sides: [string, string] = [`birkhoff ${connection}`, `torch ${mode} ${connection}`];
  return compare(name, speed, sides, { higher_is_better: true, ...given({ bar }) });
}

const comparisons: readonly Comparison[] = [
  againstTorch("step.residual.vs_torch_eager", "eager", "residual", 1.1),
  againstTorch("step.mhc.vs_torch_eager", "eager", "mhc", 1.8),
  againstTorch("step.mhc.vs_torch_compile", "compile", "mhc", 1.35),
  compare("step.mhc.vs_residual", time, ["birkhoff mhc", "birkhoff residual"], { higher_is_better: false, bar: 1.25 }),
  againstTorch("step.hc.vs_torch_eager", "eager", "hc"),
  compare("step.memory.vs_torch", peakMemory, ["birkhoff mhc", "torch eager mhc"], {
    higher_is_better: false,
    bar: 0.7,
  }),
  compare("step.memory.residual.vs_torch", peakMemory, ["birkhoff residual", "torch eager residual"], {
    higher_is_better: false,
  }),
  ...(
    [
      ["step.bfloat16.vs_float32", "bfloat16", "mhc"],
      ["step.bfloat16.residual.vs_float32", "bfloat16", "residual"],
      ["step.fp8.vs_float32", "fp8", "mhc"],
    ] as const
  ).map(([name, precision, connection]) =>
    compare(name, time, [`birkhoff ${precision} ${connection}`, `birkhoff ${connection}`], { higher_is_better: false }),
  ),
  {
    name: "step.javascript_share",
    needs: ["birkhoff mhc"],
    measure(results) {
      const mhc = results("birkhoff mhc");
      const outside = part("outside WebAssembly", mhc, "javascript_ms");
      const whole = part("whole step", mhc, "step_ms");
      const share = ratio("step.javascript_share", outside, whole, { higher_is_better: false, bar: 0.01 });
      return { ...share, unit: "of a step" };
    },
  },
];

/** Check that every entrant learns, and that those with the same connection trained the same model. */
function checkLearning(results: ReadonlyMap<string, Result>): void {
  for (const [name, { hello, replies }] of results) {
    const last = replies.at(-1)!.loss!;
    if (!(last < hello.loss!)) throw new Error(`${name} does not learn: its loss went from ${hello.loss} to ${last}.`);
    const connection = name.split(" ").at(-1);
    const ours = results.get(`birkhoff ${connection}`)?.hello.parameters ?? hello.parameters!;
    // The numbers may differ slightly: PyTorch's HC has a gain in its norm that ours leaves out.
    if (Math.abs(hello.parameters! / ours - 1) > 0.001) {
      throw new Error(
        `${name} trains ${hello.parameters} parameters, birkhoff ${connection} ${ours}; they should be the same model.`,
      );
    }
  }
}

// --- the first step of a fresh process ----------------------------------------------------------

const COLD = "step.cold_seconds";

/** The time from creating the runtime to the first loss, in one fresh process after the other. */
async function* coldStarts({ note }: GroupOptions): AsyncGenerator<Figure> {
  note(`starting birkhoff mhc ${COLD_STARTS} times`);
  const { script, args } = entrants["birkhoff mhc"]!;
  const hellos: Hello[] = [];
  for (let k = 0; k < COLD_STARTS; k++) {
    const peer = await startPeer(script, args, threadEnvironment(THREADS));
    if ("skipped" in peer) throw new Error(`${COLD} cannot be measured: ${peer.skipped}.`);
    hellos.push(peer.hello);
    await peer.close();
  }
  const side = (what: string, key: "cold_seconds" | "start_seconds"): Side => {
    const label = `${labelOf("birkhoff mhc", hellos[0]!)}, ${what}`;
    return rate(
      timing(
        label,
        hellos.map((hello) => hello[key]!),
      ),
      "median",
      "s",
      (seconds) => seconds,
    );
  };
  const cold = side("runtime to first loss", "cold_seconds");
  const node = side("Node and imports, before that", "start_seconds");
  yield { name: COLD, value: cold.value, unit: "s", higher_is_better: false, bar: 1.5, ours: cold, theirs: node };
}

export const step: Group = {
  names: [...comparisons.map(({ name }) => name), COLD],
  async *measure(names, options) {
    const chosen = comparisons.filter(({ name }) => names.includes(name));
    if (chosen.length > 0) {
      yield* contest({ entrants, comparisons: chosen, op: "step", count: 2, ...options, check: checkLearning });
    }
    if (names.includes(COLD)) yield* coldStarts(options);
  },
};
