// Question: how do a pipeline's stages and ranks that share experts do, beside what is simulated of them?
//
// Two stages of one thread each train by 1F1B. `mpi.pipeline.bubble_error` is how far their idle time is from that of the
// simulation with the times of their passes: each pass has its own, for on a machine that others use a pass may take twice as
// long as the next, and their mean says nothing of who waited for whom. The figure is the median over the steps. `mpi.pipeline.messages.*` is by what share the step is longer on a link of
// 400 Mbit/s than a simulation without messages; what the simulation says with messages of n streams stands beside it.
// `mpi.expert.speed` is the time of a step in which each of two ranks has all experts, over that of one in which they share them.

import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { median } from "../src/basics/numbers.ts";
import { createBackground } from "./lib/background.ts";
import type { Group } from "./lib/group.ts";
import { type Figure, ratio, type Side } from "./lib/report.ts";
import { launcher, noSlowLink, outputOf, overSlowLink } from "./mpi.ts";

const ROUNDS = 15;
const RATE = 400;
const PAUSE_MS = 300;
const peer = fileURLToPath(new URL("./peers/our-mesh.ts", import.meta.url));
const options = (connection: string): string[] =>
  `--connection ${connection} --layers 4 --channels 256 --heads 8 --tokens 256 --vocabulary 1024 --batch 2 --threads 1 --rounds ${ROUNDS}`.split(
    " ",
  );
type Answer = Readonly<Record<string, readonly number[]>>;
const answerOf = (text: string): Answer => JSON.parse(text.split("\n").find((line) => line.startsWith("{"))!) as Answer;
const side = (label: string, value: number, unit: string): Side => ({ label, value, unit, samples: ROUNDS });

type Measure = (folder: string, note: (text: string) => void) => AsyncGenerator<Figure>;

const bubble: Measure = async function* (folder, note) {
  const name = "mpi.pipeline.bubble_error";
  const line = launcher();
  if (typeof line === "string") {
    yield { name, skipped: line };
    return;
  }
  note("two stages of a pipeline");
  const background = createBackground();
  await background.watch(sleep(PAUSE_MS));
  const seen = answerOf(await outputOf([...line, peer, "pipeline", ...options("mhc"), "--accumulate", "4"], folder));
  await background.watch(sleep(PAUSE_MS));
  const [real, simulated, means] = [seen["bubble"]!, seen["ownBubble"]!, seen["simulatedBubble"]!];
  yield {
    name,
    value: median(real.map((idle, round) => Math.abs(idle - simulated[round]!) / simulated[round]!)),
    unit: "of the simulated idle time",
    higher_is_better: false,
    bar: 0.15,
    ours: side("idle, as it ran", median(real), "of the step"),
    theirs: side(`idle, simulated (with mean times ${median(means).toFixed(3)})`, median(simulated), "of the step"),
    background: background.share(),
  };
};

const connections = ["residual", "mhc"] as const;
const messagesName = (connection: string): string => `mpi.pipeline.messages.${connection}`;
const messages: Measure = async function* (folder, note) {
  const line = launcher("--mpi", "openmpi");
  const missing = typeof line === "string" ? line : noSlowLink();
  for (const connection of connections) {
    const name = messagesName(connection);
    if (typeof line === "string" || missing !== undefined) {
      yield { name, skipped: missing ?? "" };
      continue;
    }
    note(`two stages on a link of ${RATE} Mbit/s, ${connection}`);
    const asked = [...options(connection), "--accumulate", "4", "--rate", String(RATE)];
    const seen = answerOf(await outputOf([...overSlowLink(line), peer, "pipeline", ...asked], folder));
    const of = (which: string): number => median(seen[which]!.map((ms, round) => ms / seen["silentStep"]![round]! - 1));
    const kib = Math.round(seen["bytes"]![0]! / 1024);
    yield {
      name,
      value: of("step"),
      unit: "longer than without messages",
      higher_is_better: false,
      ours: side(`messages of ${kib} KiB, as it ran`, of("step"), "longer"),
      theirs: side("simulated", of("simulatedStep"), "longer"),
    };
  }
};

const experts: Measure = async function* (folder, note) {
  const name = "mpi.expert.speed";
  const line = launcher();
  if (typeof line === "string") {
    yield { name, skipped: line };
    return;
  }
  note("16 experts on two ranks, shared and whole");
  const seen = answerOf(await outputOf([...line, peer, "experts", ...options("mhc"), "--accumulate", "2"], folder));
  const mib = (which: string): string => (seen[which]![0]! / 2 ** 20).toFixed(0);
  const figure = ratio(
    name,
    side(`each has all (${mib("wholeBytes")} MiB)`, median(seen["whole"]!), "ms"),
    side(`shared (${mib("sharedBytes")} MiB)`, median(seen["shared"]!), "ms"),
    { higher_is_better: true },
  );
  yield { ...figure, ours: figure.theirs!, theirs: figure.ours! };
};

const measures: readonly { readonly names: readonly string[]; readonly measure: Measure }[] = [
  { names: ["mpi.pipeline.bubble_error"], measure: bubble },
  { names: connections.map(messagesName), measure: messages },
  { names: ["mpi.expert.speed"], measure: experts },
];

export const mesh: Group = {
  names: measures.flatMap(({ names }) => names),
  onRequest: true,
  async *measure(chosen, { note }) {
    const folder = mkdtempSync(path.join(os.tmpdir(), "birkhoff-mesh-"));
    try {
      for (const { names, measure } of measures) {
        if (!names.some((name) => chosen.includes(name))) continue;
        for await (const figure of measure(folder, note)) if (chosen.includes(figure.name)) yield figure;
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
};
