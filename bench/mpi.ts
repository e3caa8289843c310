// Question: how much faster do two processes train than one, and what do their messages cost?
//
//   mpi.scaling.two          The same model, with as many sequences for each process: two have twice the batch of one, in the
//                            best case in the same time. Each has one thread. Runs of one and of two take turns, each a
//                            command of its own with real MPI; the speed of a run is the median of its steps, without
//                            those of its beginning. The figure is the speed of two by twice that of one.
//   mpi.scaling.machine      The same of two runs that know nothing of each other: what this machine's two cores, caches
//                            and memory give to two processes, and no exchange can exceed.
//   mpi.step.vs_torch_ddp    The step of two processes beside that of PyTorch's DistributedDataParallel over gloo.
//   mpi.overlap.step         On the same link, the step whose new parameters arrive behind the next forward pass, beside the
//                            one that waits for them.
//   mpi.overlap.hidden       The share of the gradients' messages that hides behind the backward pass, on a link of 400 Mbit/s
//                            in each direction: the loopback of a network namespace, which root alone can make. With
//                            `.bfloat16` they travel as that.

import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { median } from "../src/basics/numbers.ts";
import { uniformInteger } from "../src/data/random.ts";
import { createBackground } from "./lib/background.ts";
import type { Group } from "./lib/group.ts";
import { type Figure, ratio, type Side } from "./lib/report.ts";

const BATCH = 4;
const STEPS = 9;
/** Steps in which memory is touched for the first time. */
const WARM = 3;
const ROUNDS = 4;
const PAUSE_MS = 200;
/** Steps of one process of a peer; rounds of what is overlapped. */
const PEER_STEPS = 8;
const OVERLAP_ROUNDS = 11;

const main = fileURLToPath(new URL("../src/cli/main.ts", import.meta.url));

/** Letters as good as any: the speed does not depend on them. */
function writeText(file: string): void {
  const letter = (i: number): string => String.fromCodePoint(97 + uniformInteger(1, 5, i, 26));
  writeFileSync(file, Array.from({ length: 200_000 }, (_, i) => (i % 7 === 6 ? " " : letter(i))).join(""));
}

/** Run a program to its end; what it has written to standard output. */
export async function outputOf(command: readonly string[], folder: string): Promise<string> {
  const child = spawn(command[0]!, command.slice(1), { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
  let [stdout, stderr] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const code = await new Promise((resolve, reject) => child.on("error", reject).on("close", resolve));
  if (code !== 0) throw new Error(`${command.join(" ")} ended with ${String(code)}: ${stderr}`);
  return stdout;
}

/** Tokens a second of a run by so many processes. */
async function speedOf(folder: string, processes: number, out: string): Promise<number> {
  const options =
    "--data text.txt --cache cache --preset micro --connection mhc --threads 1 --vocabulary 260 " +
    `--evaluate-every 1000 --checkpoint-every 1000 --json --steps ${STEPS} --batch ${BATCH * processes} --out ${out}`;
  const train = ["train", ...options.split(" ")];
  const command = processes === 1 ? train : ["launch", "-n", String(processes), "--", ...train];
  await outputOf([process.execPath, main, ...command], folder);
  const lines = readFileSync(path.join(folder, out, "metrics.jsonl"), "utf8")
    .trim()
    .split("\n")
    .slice(WARM);
  return median(lines.map((line) => (JSON.parse(line) as { tokensPerSecond: number }).tokensPerSecond));
}

const sideOf = (label: string, values: readonly number[], unit: string, factor = 1): Side => ({
  label,
  value: factor * median(values),
  unit,
  median: factor * median(values),
  best: factor * (unit === "ms" ? Math.min(...values) : Math.max(...values)),
  samples: values.length,
});

/** The line of the launcher that starts two processes of Node with a program; or why there is none. */
export function launcher(...options: string[]): readonly string[] | string {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [main, "launch", "-n", "2", ...options, "--print", "--json", "--", "train"],
    { encoding: "utf8" },
  );
  if (status !== 0) return stderr.trim();
  const { command } = JSON.parse(stdout.trim().split("\n")[0]!) as { command: string[] };
  return command.slice(0, command.indexOf(process.execPath) + 1);
}

const peer = (name: string): string => fileURLToPath(new URL(`./peers/${name}`, import.meta.url));
const model = (rounds: number): string[] =>
  `--connection mhc --layers 4 --channels 256 --heads 8 --tokens 256 --vocabulary 1024 --batch ${BATCH} --threads 1 --rounds ${rounds}`.split(
    " ",
  );
type Times = "step" | "behind" | "waiting" | "compute" | "messages" | "together";
type Answer = { readonly [times in Times]: readonly number[] } & {
  readonly skipped?: string;
};
const answerOf = (text: string): Answer => JSON.parse(text.split("\n").find((line) => line.startsWith("{"))!) as Answer;

const scaling: Measure = async function* (folder, rounds, note) {
  writeText(path.join(folder, "text.txt"));
  const [one, two, apart]: [number[], number[], number[]] = [[], [], []];
  const background = createBackground();
  for (let round = 0; round < rounds; round++) {
    note(`one process and two, round ${round + 1}`);
    await background.watch(sleep(PAUSE_MS));
    one.push(await speedOf(folder, 1, `one-${round}`));
    two.push(await speedOf(folder, 2, `two-${round}`));
    const both = await Promise.all(["a", "b"].map((name) => speedOf(folder, 1, `apart-${name}-${round}`)));
    apart.push(both.reduce((sum, speed) => sum + speed, 0));
  }
  const twice = sideOf("twice one process", one, "tokens/s", 2);
  const sides = [
    ["mpi.scaling.two", sideOf("two processes", two, "tokens/s"), { bar: 0.9 }],
    ["mpi.scaling.machine", sideOf("two runs that share nothing", apart, "tokens/s"), {}],
  ] as const;
  for (const [name, side, bar] of sides)
    yield { ...ratio(name, side, twice, { higher_is_better: true, ...bar }), background: background.share() };
};

const againstTorch: Measure = async function* (folder, rounds, note) {
  const name = "mpi.step.vs_torch_ddp";
  const line = launcher();
  if (typeof line === "string") {
    yield { name, skipped: line };
    return;
  }
  const python = process.env["BIRKHOFF_PYTHON"] || "python3";
  if (spawnSync(python, ["--version"]).status !== 0) {
    yield { name, skipped: `${python} cannot be run; install Python 3, or set BIRKHOFF_PYTHON` };
    return;
  }
  const [ours, theirs]: [number[], number[]] = [[], []];
  const background = createBackground();
  for (let round = 0; round < rounds; round++) {
    note(`two processes here and by PyTorch, round ${round + 1}`);
    await background.watch(sleep(PAUSE_MS));
    const own = await outputOf([...line, peer("our-ranks.ts"), "step", ...model(PEER_STEPS)], folder);
    ours.push(median(answerOf(own).step));
    const said = answerOf(await outputOf([python, peer("ddp.py"), ...model(PEER_STEPS)], folder));
    if (said.skipped !== undefined) {
      yield { name, skipped: said.skipped };
      return;
    }
    theirs.push(median(said.step));
  }
  // The figure says how many times as fast: the time of theirs by that of ours.
  const figure = ratio(name, sideOf("torch DDP over gloo", theirs, "ms"), sideOf("birkhoff", ours, "ms"), {
    higher_is_better: true,
    bar: 2,
  });
  yield { ...figure, ours: figure.theirs!, theirs: figure.ours!, background: background.share() };
};

/** The two directions of loopback share one queue; in a step as much goes one way as the other. */
const LINK = "ip link set lo up && tc qdisc add dev lo root tbf rate 800mbit burst 256kb latency 100ms";

/** Why there can be no slow link here; undefined where it can. */
export const noSlowLink = (): string | undefined =>
  spawnSync("unshare", ["-n", "sh", "-c", LINK]).status === 0
    ? undefined
    : "a network namespace with a slow link cannot be made; it needs root, ip and tc";

/** The line of Open MPI's launcher, its processes joined by the slow link alone. */
export function overSlowLink(line: readonly string[]): string[] {
  const slow = line.map((word) => (word === "tcp,self,vader" ? "tcp,self" : word));
  const start = [slow[0]!, "--mca", "btl_tcp_if_include", "lo", ...slow.slice(1)];
  return ["unshare", "-n", "sh", "-c", `${LINK} && exec "$@"`, "sh", ...start];
}

/** What two ranks on the slow link answer; or why they cannot. */
async function slowly(
  folder: string,
  what: string,
  rounds: number,
  more: readonly string[] = [],
): Promise<Answer | string> {
  const line = launcher("--mpi", "openmpi");
  if (typeof line === "string") return line;
  const missing = noSlowLink();
  if (missing !== undefined) return missing;
  return answerOf(
    await outputOf([...overSlowLink(line), peer("our-ranks.ts"), what, ...model(rounds), ...more], folder),
  );
}

const behind: Measure = async function* (folder, rounds, note) {
  const name = "mpi.overlap.step";
  note("steps whose parameters arrive behind the next, and steps that wait for them");
  const times = await slowly(folder, "behind", rounds);
  yield typeof times === "string"
    ? { name, skipped: times }
    : ratio(name, sideOf("behind the next step", times.behind, "ms"), sideOf("waited for", times.waiting, "ms"), {
        higher_is_better: false,
      });
};

const overlap = (name: string, precision: string): Measure =>
  async function* (folder, _rounds, note) {
    note("a microbatch, its gradients' messages, and both together");
    const times = await slowly(folder, "overlap", OVERLAP_ROUNDS, ["--reduce", precision]);
    if (typeof times === "string") {
      yield { name, skipped: times };
      return;
    }
    // The least of each: what else the machine does only adds.
    const [compute, messages, together] = [times.compute, times.messages, times.together].map((ms) => Math.min(...ms));
    const hidden = compute! + messages! - together!;
    const side = (label: string, value: number): Side => ({ label, value, unit: "ms", samples: OVERLAP_ROUNDS });
    yield {
      ...ratio(
        name,
        side("hidden: the microbatch and its messages, one after the other, less both together", hidden),
        side("the shorter of the two", Math.min(compute!, messages!)),
        { higher_is_better: true, bar: 0.9 },
      ),
      unit: "of the messages",
    };
  };

type Measure = (folder: string, rounds: number, note: (text: string) => void) => AsyncGenerator<Figure>;

const measures: readonly { readonly names: readonly string[]; readonly measure: Measure }[] = [
  { names: ["mpi.scaling.two", "mpi.scaling.machine"], measure: scaling },
  { names: ["mpi.step.vs_torch_ddp"], measure: againstTorch },
  { names: ["mpi.overlap.step"], measure: behind },
  { names: ["mpi.overlap.hidden"], measure: overlap("mpi.overlap.hidden", "float32") },
  { names: ["mpi.overlap.hidden.bfloat16"], measure: overlap("mpi.overlap.hidden.bfloat16", "bfloat16") },
];

export const mpi: Group = {
  names: measures.flatMap(({ names }) => names),
  onRequest: true,
  async *measure(chosen, { rounds, note }) {
    const line = launcher();
    if (typeof line === "string") {
      for (const name of chosen) yield { name, skipped: line };
      return;
    }
    const folder = mkdtempSync(path.join(os.tmpdir(), "birkhoff-mpi-"));
    try {
      for (const { names, measure } of measures) {
        if (!names.some((name) => chosen.includes(name))) continue;
        for await (const figure of measure(folder, Math.min(rounds, ROUNDS), note))
          if (chosen.includes(figure.name)) yield figure;
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
};
