// birkhoff schedule: simulate pipeline schedules, to see which one idles least and what mHC costs in it.

import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { drawTable } from "../basics/table.ts";
import { showPercent, showMany } from "../basics/show.ts";
import { MOST_LAYERS, MOST_STREAMS } from "../basics/bounds.ts";
import { parseDecimal } from "../basics/numbers.ts";
import { given } from "../basics/given.ts";
import { compareOverlap, compareSchedules, type OverlapRow } from "../planning/pipeline/compare.ts";
import { fullOverlap, layerCosts, noOverlap, type Overlap } from "../planning/pipeline/layer-costs.ts";
import type { PipelineShape } from "../training/parallel/schedules/orders.ts";
import { type ConnectionCost, type LayerAssumptions, layerTimes, paper27b } from "../planning/pipeline/paper-times.ts";
import { passCosts } from "../planning/pipeline/pass-costs.ts";
import { simulateSchedule, type SimulatedSchedule } from "../planning/pipeline/schedules.ts";
import { type ScheduleName, scheduleNames, schedules } from "../training/parallel/schedules/table.ts";
import type { PipelineCosts } from "../training/parallel/schedules/task.ts";
import { prose, widthOf } from "../report/terminal.ts";
import { type FigureTable, timelineHtml } from "../report/timeline-html.ts";
import { type Picture, timelineSvg, type TimelineSvgOptions } from "../report/timeline-svg.ts";
import { acceptConfig } from "./config-file.ts";
import { expectUnused, positiveNumber, wholeNumber } from "./options.ts";

interface ScheduleCommandOptions {
  readonly stages: number;
  readonly microBatches: number;
  readonly chunks: number;
  readonly costs: "passes" | "layers";
  readonly forward: number;
  readonly backward: number;
  readonly weights: number;
  readonly both?: number;
  readonly message: number;
  readonly layers?: number;
  readonly connection: ConnectionCost;
  readonly overlap: keyof typeof overlaps;
  readonly streams: number;
  readonly tflops: number;
  readonly memory: number;
  readonly network: number;
  readonly connectionShare?: number;
  readonly window?: readonly [number, number];
  readonly svg?: string;
  readonly html?: string;
  readonly json?: boolean;
}

const overlaps = {
  none: noOverlap,
  priority: { priority: true, decoupled: false },
  decoupled: { priority: false, decoupled: true },
  full: fullOverlap,
} as const satisfies Record<string, Overlap>;

export const scheduleCommand: Command = acceptConfig(new Command("schedule"))
  .description(
    "Simulate pipeline schedules: idle time, memory and exposed communication, drawn as timelines. " +
      "Without a name, it shows all schedules side by side, and mHC beside the residual connection in DualPipe.",
  )
  .addArgument(new Command().createArgument("[name]", "show one schedule, stage by stage").choices(scheduleNames))
  .option("--stages <p>", "stages of the pipeline", wholeNumber(1), 8)
  .option("--micro-batches <m>", "micro-batches in a step", wholeNumber(1), 32)
  .option("--chunks <v>", "pieces of the model on a stage of the interleaved schedule", wholeNumber(1), 2)
  .addOption(
    new Option(
      "--costs <kind>",
      "passes: a pass is one block with the times below; layers: a stage holds layers of mHC's 27B model",
    )
      .choices(["passes", "layers"])
      .default("passes"),
  )
  .option("--forward <time>", "passes: F, a forward pass", positiveNumber, 1)
  .option("--backward <time>", "passes: B, a full backward pass", positiveNumber, 2)
  .option("--weights <time>", "passes: W, the part of B for the weights", notNegative, 1)
  .option("--both <time>", "passes: F&B, the two woven together (default: their sum)", positiveNumber)
  .option("--message <time>", "passes: a message between stages", notNegative, 0)
  .option(
    "--layers <n>",
    "layers: how many on each stage (default: 30 divided among the stages)",
    wholeNumber(1, MOST_LAYERS),
  )
  .addOption(
    new Option("--connection <kind>", "layers: how they are joined").choices(["residual", "mhc"]).default("mhc"),
  )
  .addOption(
    new Option("--overlap <what>", "layers: which of the mHC paper's two measures to take")
      .choices(Object.keys(overlaps))
      .default("full"),
  )
  .option("--streams <n>", "layers: streams of mHC", wholeNumber(1, MOST_STREAMS), paper27b.streams)
  .option("--tflops <rate>", "layers: TFLOP/s that matrix products reach", positiveNumber, paper27b.compute / 1e12)
  .option("--memory <rate>", "layers: TB/s that mHC's kernels reach", positiveNumber, paper27b.memory / 1e12)
  .option("--network <rate>", "layers: GB/s of a device's network", positiveNumber, paper27b.network / 1e9)
  .option(
    "--connection-share <x>",
    "layers: forward time of mHC's kernels as a share of the layer's (default: from traffic and --memory)",
    positiveNumber,
  )
  .option("--window <from,to>", "draw only this window of time", window)
  .option("--svg <file>", "draw the timelines")
  .option("--html <file>", "write a page with figures and timelines; hover over a task to see what it is")
  .option("--json", "print figures as one JSON object; with a name, every task as well")
  .addHelpText(
    "after",
    `
Examples:
  birkhoff schedule                                          all schedules; mHC with and without overlap
  birkhoff schedule --stages 4 --micro-batches 8 --svg all.svg
  birkhoff schedule zb-h1 --backward 2.2 --weights 0.9 --message 0.1
  birkhoff schedule dualpipe --costs layers --layers 2 --overlap none --html dualpipe.html
  birkhoff schedule --network 100 --connection-share 0.08    another network, a measured connection
docs/pipeline.md says what is simulated and what is assumed.`,
  )
  .action((name: ScheduleName | undefined, options: ScheduleCommandOptions, command: Command) => {
    expectUsed(name, options, command);
    const answer = name === undefined ? compareAll(options) : describeOne(name, options);
    const drawing: TimelineSvgOptions = {
      unit: options.costs === "layers" ? "layers' forward time" : "units of time",
      ...given({ window: options.window }),
    };
    const { title, notes, tables, pictures } = answer;
    if (options.svg !== undefined) write(options.svg, timelineSvg(pictures, drawing));
    if (options.html !== undefined) write(options.html, timelineHtml({ title, notes, tables, pictures }, drawing));
    const drawn = [options.svg, options.html].filter((file) => file !== undefined);
    const said = notes.map((note) => prose(note, process.stdout));
    const shown = [
      prose(title, process.stdout),
      ...tables.map(textTable),
      ...said,
      ...drawn.map((file) => `Drawn: ${file}`),
    ].join("\n");
    process.stdout.write(`${options.json ? JSON.stringify(answer.json) : shown}\n`);
  });

const PASS_OPTIONS = ["forward", "backward", "weights", "both", "message"];
const LAYER_OPTIONS = ["layers", "streams", "tflops", "memory", "network", "connectionShare"];

/** Refuse options that would have no effect. */
function expectUsed(
  name: ScheduleName | undefined,
  { costs, connection, svg, html }: ScheduleCommandOptions,
  command: Command,
): void {
  if (costs === "layers") expectUnused(command, PASS_OPTIONS, "with --costs layers, whose times follow from the model");
  else {
    expectUnused(command, ["connection", "overlap"], "without --costs layers");
    // Without a name the command also compares connections, which needs the options of layers.
    if (name !== undefined) expectUnused(command, LAYER_OPTIONS, "with one schedule unless --costs layers is given");
  }
  if (connection === "residual") expectUnused(command, ["overlap"], "with --connection residual: only mHC has it");
  if (name !== undefined && name !== "interleaved")
    expectUnused(command, ["chunks"], `with ${name}: only interleaved has them`);
  if (svg === undefined && html === undefined) expectUnused(command, ["window"], "without a drawing (--svg, --html)");
}

interface Answer {
  readonly title: string;
  readonly notes: readonly string[];
  readonly tables: readonly FigureTable[];
  readonly pictures: readonly Picture[];
  readonly json: object;
}

function write(file: string, text: string): void {
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, text);
}

function notNegative(text: string): number {
  const value = parseDecimal(text);
  if (!(value >= 0 && value < Number.POSITIVE_INFINITY))
    throw new InvalidArgumentError("It must be a finite number, 0 or more.");
  return value;
}

function window(text: string): [number, number] {
  const [from, to, ...more] = text.split(",").map(Number);
  if (from === undefined || to === undefined || more.length > 0 || !(from < to))
    throw new InvalidArgumentError("It must be two times separated by a comma, the earlier first, such as 10,25.");
  return [from, to];
}

const assumptionsOf = ({ streams, tflops, memory, network, connectionShare }: ScheduleCommandOptions) =>
  ({
    ...paper27b,
    streams,
    compute: tflops * 1e12,
    memory: memory * 1e12,
    network: network * 1e9,
    ...given({ connectionShare }),
  }) satisfies LayerAssumptions;

/** Layers of a stage: 30 divided among the stages, rounded to a multiple of the chunks. */
const layersOf = ({ layers, stages, chunks }: ScheduleCommandOptions): number =>
  layers ?? Math.ceil(30 / stages / chunks) * chunks;

function costsOf(options: ScheduleCommandOptions): (chunks: number) => PipelineCosts {
  if (options.costs === "passes") {
    const { forward, backward, weights, both, message } = options;
    const times = { forward, backward, weights, ...given({ both, message }) };
    return (chunks) => passCosts(times, chunks);
  }
  const { connection } = options;
  const { times } = layerTimes(assumptionsOf(options), connection);
  return (chunks) => {
    const layers = layersOf(options);
    if (layers % chunks !== 0)
      throw new RangeError(
        `${layers} layers on a stage cannot be cut into ${chunks} chunks; give --layers ${Math.ceil(layers / chunks) * chunks} or other --chunks.`,
      );
    // The paper's measures apply to mHC only: a residual merge is part of the kernel before it.
    return layerCosts(times, layers / chunks, connection === "mhc" ? overlaps[options.overlap] : noOverlap);
  };
}

const shapeOf = ({ stages, microBatches, chunks }: ScheduleCommandOptions): PipelineShape => ({
  stages,
  microBatches,
  chunks,
});

function compareAll(options: ScheduleCommandOptions): Answer {
  const shape = shapeOf(options);
  const compared = compareSchedules(shape, costsOf(options));
  const overlap = schedules.dualpipe.refuses(shape)
    ? []
    : compareOverlap(shape, assumptionsOf(options), layersOf(options));
  const pictures: Picture[] = compared.flatMap((each) =>
    "run" in each ? [{ title: schedules[each.schedule].title, run: each.run }] : [],
  );
  const layered = overlap
    .filter(({ overlap: { priority, decoupled } }) => priority === decoupled)
    .map(({ title, run }) => ({ title: `DualPipe, ${title}`, run }));
  return {
    title: `Pipeline schedules, ${showMany(shape.stages, "stage")}, ${showMany(shape.microBatches, "micro-batch", "micro-batches")}`,
    tables: [
      {
        caption: options.costs === "passes" ? passTitle(options) : layerTitle(options),
        head: ["schedule", "time", "bubble", "held at most", "parameters", "exposed comm."],
        rows: compared.map((each) => [
          schedules[each.schedule].title,
          ...("run" in each
            ? [...figures(each.run), `${schedules[each.schedule].copies} x`, showPercent(each.run.report.exposed)]
            : ["does not fit"]),
        ]),
      },
      ...(overlap.length > 0 ? [overlapTable(overlap, options)] : []),
    ],
    notes: [
      "held at most: micro-batches whose activations the fullest stage keeps; bubble: share of time without computation.",
      ...compared.flatMap((each) => ("refused" in each ? [each.refused] : [])),
      ...(overlap.length > 0 ? layerNotes(options, "mhc") : []),
    ],
    // Passes and layers are timed in different units, and a picture has only one scale.
    pictures: options.costs === "layers" ? layered : pictures,
    json: {
      shape,
      schedules: compared.map((each) =>
        "run" in each
          ? { schedule: each.schedule, ...each.run.report }
          : { schedule: each.schedule, refused: each.refused },
      ),
      ...(overlap.length > 0
        ? {
            assumptions: assumptionsOf(options),
            layers: layersOf(options),
            overlap: overlap.map(({ run, ...row }) => ({ ...row, ...run.report })),
          }
        : {}),
    },
  };
}

function describeOne(name: ScheduleName, options: ScheduleCommandOptions): Answer {
  const shape = shapeOf(options);
  const run = simulateSchedule(name, shape, costsOf(options));
  const { report, timeline } = run;
  const { title, source } = schedules[name];
  return {
    title: `${title} (${source}), ${showMany(shape.stages, "stage")}, ${showMany(shape.microBatches, "micro-batch", "micro-batches")}: time ${report.makespan.toFixed(2)}, bubble ${showPercent(report.bubble)}`,
    tables: [
      {
        caption: options.costs === "passes" ? passTitle(options) : layerTitle(options),
        head: ["stage", "computes", "idle", "link busy", "exposed comm.", "held at most"],
        rows: report.stages.map(({ stage, busy, bubble, communication, exposed, peakMemory }) => [
          String(stage),
          busy.toFixed(2),
          showPercent(bubble),
          communication.toFixed(2),
          exposed.toFixed(2),
          decimal(peakMemory),
        ]),
      },
    ],
    notes: options.costs === "layers" ? layerNotes(options, options.connection) : [],
    pictures: [{ title, run }],
    json: { schedule: name, shape, ...report, tasks: timeline.tasks },
  };
}

const decimal = (value: number): string => String(Math.round(value * 100) / 100);
const figures = ({ report }: SimulatedSchedule): string[] => [
  report.makespan.toFixed(2),
  showPercent(report.bubble),
  decimal(report.peakMemory),
];

const passTitle = ({
  forward,
  backward,
  weights,
  both = forward + backward,
  message,
}: ScheduleCommandOptions): string =>
  `A pass is a block: F ${forward}, B ${backward} of which W ${weights}, F&B ${both}, a message ${message}`;

const layerCount = (options: ScheduleCommandOptions): string => showMany(layersOf(options), "layer");

const layerTitle = (options: ScheduleCommandOptions): string =>
  `${layerCount(options)} of the mHC paper's 27B model on a stage, ${options.connection === "mhc" ? `mHC, overlap: ${options.overlap}` : "residual"}`;

function overlapTable(rows: readonly OverlapRow[], options: ScheduleCommandOptions): FigureTable {
  return {
    caption: `mHC in DualPipe, ${layerCount(options)} of the paper's 27B model on a stage`,
    head: ["connection", "time", "bubble", "exposed comm.", "extra time", "in the steady state"],
    rows: rows.map(({ title, run, extra, steadyExtra }) => [
      title,
      run.report.makespan.toFixed(2),
      showPercent(run.report.bubble),
      showPercent(run.report.exposed),
      showPercent(extra),
      showPercent(steadyExtra),
    ]),
  };
}

/** Why another command says another share; a test holds it to that command. */
export const PLAN_SAYS: string =
  "The command plan says 7.8 % for this model with 4 streams: it counts mHC's kernels against a whole step, without a " +
  "pipeline's messages, which are n times as long here and wait for the network (docs/pipeline.md, Why plan and schedule differ).";

function layerNotes(options: ScheduleCommandOptions, connection: ConnectionCost): string[] {
  const { times, unit } = layerTimes(assumptionsOf(options), connection);
  const kernels = (2 * (times.connection.pre.forward + times.connection.post.forward)).toFixed(3);
  const message = connection === "mhc" ? `a message of ${options.streams} streams` : "a message";
  return [
    `Layers: the unit of time is a layer's forward computation, ${(unit * 1e6).toFixed(2)} us a token at ${decimal(options.tflops)} TFLOP/s;`,
    `the connection's kernels take ${kernels} of it forward, dispatch ${times.dispatch.toFixed(2)}, combine ${times.combine.toFixed(2)}, ${message} ${times.message.toFixed(2)}.`,
    "These follow from sizes and rates (docs/pipeline.md), not from a measurement; the paper reports 6.7 % for mHC with its own kernels.",
    ...(connection === "mhc" ? [PLAN_SAYS] : []),
  ];
}

const textTable = ({ caption, head, rows }: FigureTable): string =>
  `\n${prose(caption, process.stdout)}\n${drawTable([head, ...rows], { width: widthOf(process.stdout) })}\n`;
