// Do the functions of the package refuse fields that they do not have? TypeScript does; plain JavaScript would pass
// them over and take the default. Every function of every entry stands in one of the two lists below, so that a new
// one is asked for its options.

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import * as b from "../src/index.ts";
import * as browser from "../src/browser.ts";
import * as data from "../src/data.ts";
import * as evaluation from "../src/evaluation.ts";
import * as interop from "../src/interop.ts";
import * as models from "../src/models.ts";
import * as ops from "../src/ops.ts";
import * as pipelines from "../src/pipelines.ts";
import * as planning from "../src/planning.ts";
import * as runs from "../src/runs.ts";
import * as runtime from "../src/runtime.ts";
import * as stability from "../src/stability.ts";
import * as training from "../src/training.ts";
import * as study from "../src/study.ts";
import { createReferenceRuntime } from "../src/runtime/reference/runtime.ts";

const t = b.input("t", [4, 4]);
const ids = b.input("ids", [4, 1], "i32");
const paper = planning.plannedModel("paper-27b");
const { h800 } = planning.hardwareProfiles;
const { times } = pipelines.layerTimes(pipelines.paper27b, "mhc");
const costs = (): pipelines.PipelineCosts => pipelines.passCosts({ forward: 1, backward: 2, weights: 1 });
const tokenizer = data.trainTokenizer(["abc"], { vocabularySize: 257 });
/** Whatever is not looked at before the options. */
const any = undefined as never;

const generator = models.createGenerator(any, { config: { context: 8 }, logits: any } as never);
const codec = { encode: () => [], createStreamDecoder: any, endOfText: undefined };
const first = (pieces: AsyncIterable<unknown>): Promise<unknown> => pieces[Symbol.asyncIterator]().next();

/** A call with these options, a field that they do not have, and the nearest that they do. */
type Case = readonly [call: (options: never) => unknown, wrong: string, meant: string];

const withOptions: Readonly<Record<string, Case>> = {
  adamw: [(o) => ops.adamw({} as never, o), "beta", "beta1"],
  adamwUpdates: [(o) => b.adamwUpdates(b.createParameters(), t, o), "lr", "learningRate"],
  attention: [(o) => ops.attention(t, o), "head_size", "headSize"],
  attentionResiduals: [b.attentionResiduals, "blocksize", "blockSize"],
  batchedMatmul: [(o) => ops.batchedMatmul(t, t, o), "transposB", "transposeB"],
  chooseExperts: [(o) => ops.chooseExperts(t, t, o), "normalize", "normalise"],
  compareOverlap: [(o) => pipelines.compareOverlap(o, pipelines.paper27b, 1), "microbatches", "microBatches"],
  compareSchedules: [(o) => pipelines.compareSchedules(o, costs), "microbatches", "microBatches"],
  compileSteps: [(o) => planning.compileSteps(paper, o), "batches", "batch"],
  connectionTime: [(o) => planning.connectionTime(paper, h800, o), "fusions", "fusion"],
  convertFile: [(o) => interop.convertFile("a", "b", o), "iteration", "iterations"],
  createBatches: [data.createBatches, "batchsize", "batchSize"],
  createGeneratedBatches: [data.createGeneratedBatches, "batchsize", "batchSize"],
  createNetTrainer: [(o) => training.createNetTrainer(any, any, o), "schedul", "schedule"],
  createWasmRuntime: [runtime.createWasmRuntime, "thread", "threads"],
  createWebgpuRuntime: [runtime.createWebgpuRuntime, "largestBuffers", "largestBuffer"],
  createCudaRuntime: [runtime.createCudaRuntime, "devices", "device"],
  encodeRun: [browser.encodeRun, "metric", "metrics"],
  openCollective: [runtime.openCollective, "deadlines", "deadline"],
  expertMatmul: [(o) => ops.expertMatmul(t, t, t, o), "transpose", "transposed"],
  createLanes: [(o) => evaluation.createLanes(any, { config: { context: 8 } } as never, o), "lane", "lanes"],
  evaluate: [(o) => evaluation.evaluate(any, [], o), "signl", "signal"],
  optimizerUpdates: [
    (o) => b.optimizerUpdates(b.createParameters(), t, Object.assign({ kind: "muon" }, o)),
    "momentm",
    "momentum",
  ],
  planTask: [(o) => evaluation.planTask({} as never, any, o), "shot", "shots"],
  headCrossEntropy: [(o) => ops.headCrossEntropy(t, t, ids, o), "row", "rows"],
  exportCsv: [(o) => interop.exportCsv("a", "b", o), "owerwrite", "overwrite"],
  exportGguf: [(o) => interop.exportGguf("a", "b", o), "owerwrite", "overwrite"],
  exportHuggingFace: [(o) => interop.exportHuggingFace("a", "b", o), "owerwrite", "overwrite"],
  exportOnnx: [(o) => interop.exportOnnx("a", "b", o), "lenght", "length"],
  exportTensorBoard: [(o) => interop.exportTensorBoard("a", "b", o), "owerwrite", "overwrite"],
  frac: [b.frac, "fraction", "fractions"],
  gatedResidual: [b.gatedResidual, "stream", "streams"],
  hc: [b.hc, "stream", "streams"],
  highway: [b.highway, "biases", "bias"],
  crossAttention: [(o) => ops.crossAttention(t, t, t, o), "head", "heads"],
  hyperCoefficients: [(o) => ops.hyperCoefficients(t, t, t, t, o), "epsilom", "epsilon"],
  importHuggingFace: [(o) => interop.importHuggingFace(any, "a", "b", o), "contxt", "context"],
  inspectFile: [(o) => study.inspectFile("a", o), "iteration", "iterations"],
  intervene: [(o) => study.intervene(any, any, any, any, o), "sublayer", "sublayers"],
  latentHeads: [(o) => ops.latentHeads(t, t, t, o), "rotarysize", "rotarySize"],
  layerCosts: [(o) => pipelines.layerCosts(times, 1, o), "prioriti", "priority"],
  layerTimes: [(o) => pipelines.layerTimes(o, "mhc"), "computee", "compute"],
  lintConnections: [study.lintConnections, "iteration", "iterations"],
  lintFile: [(o) => study.lintFile("a", o), "agains", "against"],
  loadParameters: [(o) => runs.loadParameters(any, any, "a", o), "strct", "strict"],
  manifoldCoefficients: [(o) => ops.manifoldCoefficients(t, t, t, t, o), "iteration", "iterations"],
  matmul: [(o) => ops.matmul(t, t, o), "transposB", "transposeB"],
  measureReasoning: [(o) => study.measureReasoning(any, any, any, any, o), "question", "questions"],
  measureRobustness: [(o) => study.measureRobustness(any, any, any, any, o), "draw", "draws"],
  measureStart: [(o) => study.measureStart(b.mhc(), o), "deth", "depth"],
  mhc: [b.mhc, "stream", "streams"],
  openRun: [(o) => runs.openRun(any, any, any, "a", o), "existng", "existing"],
  openRuntime: [b.openRuntime, "thread", "threads"],
  passCosts: [pipelines.passCosts, "mesage", "message"],
  plannedMachine: [runtime.plannedMachine, "thread", "threads"],
  planTraining: [(o) => planning.planTraining(paper, o), "gpu", "gpus"],
  prepareTexts: [(o) => data.prepareTexts([], o), "vocabularysize", "vocabularySize"],
  prepareData: [runs.prepareData, "vocabularysize", "vocabularySize"],
  roundToFloat8: [(o) => ops.roundToFloat8(t, o), "row", "rows"],
  rotary: [(o) => ops.rotary(t, t, o), "headsize", "headSize"],
  rotaryTable: [ops.rotaryTable, "lenght", "length"],
  simulateSchedule: [(o) => pipelines.simulateSchedule("1f1b", o, costs), "microbatches", "microBatches"],
  sinkhorn: [(o) => ops.sinkhorn(t, o), "iteration", "iterations"],
  sinkhornError: [study.sinkhornError, "iteration", "iterations"],
  sinkhornUntil: [(o) => ops.sinkhornUntil(t, o), "tolerence", "tolerance"],
  sinkhornImplicit: [(o) => ops.sinkhornImplicit(t, o), "iteration", "iterations"],
  timelineHtml: [pipelines.timelineHtml, "titel", "title"],
  timelineSvg: [(o) => pipelines.timelineSvg([], o), "widht", "width"],
  transportPlan: [(o) => ops.transportPlan(t, o), "iteration", "iterations"],
  Tokenizer: [(o) => new data.Tokenizer(o), "merge", "merges"],
  trainInTurns: [(o) => runs.trainInTurns([], o), "onstep", "onStep"],
  trainingTime: [(o) => planning.trainingTime(1, o), "gpu", "gpus"],
  trainNet: [(o) => runs.trainNet(any, any, o), "exsting", "existing"],
  trainTokenizer: [(o) => data.trainTokenizer([], o), "vocabularysize", "vocabularySize"],
  upcycle: [(o) => interop.upcycle(any, "a", "b", any, o), "step", "steps"],
  watchAlarms: [(o) => stability.watchAlarms(new Map(), o), "constraint", "constrained"],
  writeTexts: [(o) => first(models.writeTexts(generator, codec, [], o)), "stops", "stop"],
  // Objects within objects.
  "Generator.generate": [(o) => first(generator.generate([1], o)), "temprature", "temperature"],
  "Connection.sublayer": [(o) => b.mhc().sublayer(b.createParameters(), o), "chanels", "channels"],
  "a form of sinkhorn": [(o) => ops.sinkhorn(t, { form: o }), "epsilom", "epsilon"],
  "openRuntime of a page": [browser.openRuntime, "thread", "threads"],
  "a picture": [(o) => pipelines.timelineSvg([o]), "titel", "title"],
  "a source": [
    (o) =>
      runs.prepareData({ source: { kind: "path", ...(o as object) } as never, vocabularySize: 300, cacheFolder: "/" }),
    "extension",
    "extensions",
  ],
  "initial values": [(o) => b.createParameters().create("w", [2], o, "weight"), "norml", "normal"],
  "the operands of adamw": [(o) => ops.adamw(o), "gradients", "gradient"],
  "the rules of words": [(o) => new data.Tokenizer({ ...tokenizer.definition, words: o }), "split", "splits"],
};

/** They take tensors, numbers, texts, files, or objects that a schema or another function has made. */
const withoutOptions: readonly string[] = [
  "CollectiveError",
  "alone",
  "endFollowers",
  "followRun",
  "difference",
  "findTasks",
  "joinGpus",
  "openAnswers",
  "openDataFolder",
  "readDataFolder",
  "openRunModel",
  "rememberAnswers",
  "scoreContinuations",
  "writeResults",
  "AlarmError",
  "ConversionError",
  "DivergenceError",
  "RunStopped",
  "ShapeError",
  "answerOf",
  "exampleAt",
  "examplesOf",
  "parseTasks",
  "promptOf",
  "add",
  "amaxGain",
  "analyseSweep",
  "balanceBias",
  "birkhoffProjection",
  "blockObjective",
  "blockOptimum",
  "broadcast",
  "broadcastLast",
  "cayley",
  "checkpoint",
  "chooseRecompute",
  "clipScale",
  "collapse",
  "compileRunStep",
  "concat",
  "connectionParameters",
  "constant",
  "conversion",
  "conversionDifference",
  "countFlops",
  "countGradientExcursions",
  "countLossSpikes",
  "countParameters",
  "createConnection",
  "createGenerator",
  "createParameters",
  "createReferenceRuntime",
  "createTrainer",
  "crossEntropy",
  "decodeCheckpoint",
  "decodeRun",
  "defaultConnection",
  "dense",
  "describeArena",
  "describeSchedule",
  "dispatch",
  "divide",
  "eigenvalueModuli",
  "embedding",
  "encodeCheckpoint",
  "evaluateConnection",
  "exp",
  "expand",
  "expertRows",
  "expertSum",
  "fill",
  "findMachine",
  "gainRecord",
  "gather",
  "gelu",
  "gradients",
  "inactiveParameters",
  "initialValues",
  "initialise",
  "input",
  "inPrecision",
  "inspectCheckpoint",
  "isMixed",
  "keep",
  "languageModel",
  "listRuntimes",
  "log",
  "mean",
  "meanLast",
  "measureExtraMemory",
  "measureGains",
  "measureKernels",
  "measureMachine",
  "measureRun",
  "measureStepMemory",
  "memoryTokens",
  "metricRecord",
  "mixed",
  "modelConnection",
  "multiply",
  "negate",
  "optimumRate",
  "parameter",
  "parameterCount",
  "parseConnection",
  "parseIntervention",
  "parseTrainingConfig",
  "peakMemory",
  "permute",
  "persistent",
  "planStepMemory",
  "plannedModel",
  "readHardware",
  "readPlannedModel",
  "predictStepMemory",
  "predictStepTime",
  "prometheusText",
  "rateTolerance",
  "saveParameters",
  "readRunData",
  "readTokenizer",
  "reciprocal",
  "recordTensorBoard",
  "relu",
  "reshape",
  "residual",
  "rmsNorm",
  "samplingRandom",
  "scale",
  "scope",
  "seedBand",
  "sequenceBalance",
  "shift",
  "sigmoid",
  "silu",
  "singularValues",
  "slice",
  "softmax",
  "sqrt",
  "square",
  "stageMemories",
  "streamRead",
  "streamWrite",
  "sublayerConnections",
  "subtract",
  "sum",
  "sumLast",
  "sumLeading",
  "sumSquares",
  "summarise",
  "swiglu",
  "tanh",
  "tensorSpreads",
  "textOfFile",
  "toBfloat16",
  "toFloat32",
  "totalTraffic",
  "trafficOf",
  "trainedParameters",
  "trainedTokens",
  "validationText",
  "weightedSum",
];

const names = Object.keys(JSON.parse(readFileSync("package.json", "utf8")).exports as object);
const entries = names
  .filter((name) => name !== "./package.json")
  .map((name) => (name === "." ? "index" : name.slice(2)));
const functions = new Set<string>();
for (const entry of entries) {
  const all = (await import(`../src/${entry}.ts`)) as Readonly<Record<string, unknown>>;
  for (const [name, value] of Object.entries(all)) if (typeof value === "function") functions.add(name);
}

test("every function of the package stands in one list", () => {
  const listed = [...Object.keys(withOptions), ...withoutOptions];
  expect([...functions].filter((name) => !listed.includes(name)).sort()).toEqual([]);
  expect(withoutOptions.filter((name) => !functions.has(name) || name in withOptions)).toEqual([]);
});

test.each(Object.entries(withOptions))(
  "%s refuses a field that it does not have",
  async (_name, [call, wrong, meant]) => {
    let message = "nothing was thrown";
    try {
      await call({ [wrong]: undefined } as never);
    } catch (error) {
      message = (error as Error).message;
    }
    expect(message).toMatch(new RegExp(`there is no .*"${wrong}"; there are .*Did you mean "${meant}"\\?$`));
  },
);

const filled = ops.fill;
const rt = createReferenceRuntime();
const x = b.input("x", [4]);
const pass = { forward: 1, backward: 2, weights: 1 };
const sizes = { stages: 4, microBatches: 8, chunks: 1 };
const source = (of: unknown) => runs.prepareData({ source: of as never, vocabularySize: 300, cacheFolder: "/" });
const huge = { ...paper, layers: 1e9 };
const js = (value: unknown): never => value as never;

/** Values that would hang, become NaN, or end in an error of JavaScript. */
const wrong: Readonly<Record<string, readonly [call: () => unknown, message: RegExp]>> = {
  "measureStart of many layers": [() => study.measureStart(b.mhc(), { depth: 1e6 }), /depth is 1000000; .* 1024/],
  "measureStart without a connection": [() => study.measureStart(any), /no connection/],
  "inspectFile of many iterations": [() => study.inspectFile("a", { iterations: 1e12 }), /iterations is .* 10000/],
  "inspectFile of many tokens": [() => study.inspectFile("a", { tokens: 1e12 }), /tokens is 1000000000000; /],
  "lintFile of no iterations": [() => study.lintFile("a", { iterations: 0 }), /iterations is 0; .* 1 to 10000/],
  "sinkhornError of many streams": [
    () => study.sinkhornError({ iterations: 20, scale: 1, streams: 1e9 }),
    /streams is 1000000000; .* 1 to 32/,
  ],
  "mhc of many iterations": [() => b.mhc({ iterations: 1e9 }), /iterations is 1000000000; .* 1 to 10000/],
  "sinkhorn of many iterations": [() => ops.sinkhorn(t, { iterations: 1e9 }), /iterations is 1000000000; .* 10000/],
  "upcycledConnections.mhc": [() => interop.upcycledConnections.mhc(1e9), /from 1 to 32, got 1000000000/],
  "upcycledConnections.hc": [() => interop.upcycledConnections.hc(1e9), /from 1 to 32, got 1000000000/],
  "countParameters of many layers": [() => planning.countParameters(huge), /layers: 1000000000 is given; .* 512/],
  "countFlops of many layers": [() => planning.countFlops(huge), /layers: 1000000000 is given; .* 512/],
  "connectionTime of many layers": [() => planning.connectionTime(huge, h800, any), /layers: 1000000000 is given/],
  "a type of a tensor": [() => b.input("a", [1], js("f64")), /dtype is "f64"; it must be one of f32, i32, bf16/],
  "a huge tensor": [() => b.input("a", [1e9, 1e9]), /1000000000000000000 values; a tensor can have at most 2\^50/],
  "a shape of text": [() => b.input("a", js("abc")), /shape is "abc"; it must be a list of sizes/],
  "no shape": [() => b.input("a", any), /shape is undefined; it must be a list of sizes/],
  "a factor of text": [() => ops.scale(x, js("a")), /factor is "a"; it must be a number/],
  "a factor beyond float32": [() => ops.scale(x, 1e308), /factor is 1e\+308; .*3\.4e38/],
  "an offset of NaN": [() => ops.shift(x, Number.NaN), /offset is NaN/],
  "a filling of text": [() => filled([2], js("a")), /value is "a"; it must be a number/],
  "an operand of text": [() => ops.sum(js("a")), /x is "a"; it must be a tensor/],
  "a dispatch for its offsets": [
    () => ops.expertMatmul(t, b.input("w", [2, 4, 4]), js(ops.dispatch(ids, 2))),
    /Give its field offsets/,
  ],
  "a deviation of NaN": [
    () => b.createParameters().create("w", [2], { normal: Number.NaN }, "weight"),
    /normal is NaN/,
  ],
  "values of text written": [() => rt.write(x, js(["a", "b", "c", "d"])), /x holds "a" at position 0; .*numbers/],
  "a text written": [() => rt.write(x, js("abcd")), /no values are given for x; it must be a list of 4 numbers/],
  "passCosts of no chunks": [() => pipelines.passCosts(pass, 0), /chunks is 0; /],
  "layerTimes of another connection": [
    () => pipelines.layerTimes(pipelines.paper27b, js("constructor")),
    /connection is "constructor"; it must be one of residual, mhc/,
  ],
  "layerTimes of NaN": [
    () => pipelines.layerTimes({ ...pipelines.paper27b, compute: Number.NaN }, "mhc"),
    /compute is NaN/,
  ],
  "layerTimes of nothing": [() => pipelines.layerTimes(js({}), "mhc"), /model is missing; it must be an object/],
  "layerCosts of nothing": [() => pipelines.layerCosts(js({}), 2, pipelines.fullOverlap), /attention is missing/],
  "simulateSchedule of NaN": [
    () => pipelines.simulateSchedule("1f1b", { ...sizes, stages: Number.NaN }, costs),
    /got NaN/,
  ],
  "trainingTime of NaN": [() => planning.trainingTime(Number.NaN, { gpus: 2 }), /secondsPerToken is NaN/],
  "blockObjective of nothing": [() => planning.blockObjective(4, 10, 0), /storeEvery is 0; /],
  "blockOptimum of less": [() => planning.blockOptimum(-1, 10), /streams is -1; /],
  "trafficOf of NaN": [() => planning.trafficOf("fused", Number.NaN), /streams is NaN; /],
  "trafficOf of no scheme": [() => planning.trafficOf(js("mhc"), 4), /scheme is "mhc"; it must be one of residual/],
  "an alarm that there is not": [
    () => stability.watchAlarms(new Map([[js("constructor"), 1]]), any),
    /must be one of not-finite/,
  ],
  "alarms in no Map": [() => stability.watchAlarms(js({ gain: 1 }), any), /bounds must be a Map/],
  "gains of short arrays": [() => b.measureGains([new Float32Array(3)], 4, 2), /are 3 numbers; 2 tokens .* have 48/],
  "singular values of a short array": [() => stability.singularValues([1], 4), /has 1 numbers; .* 16/],
  "eigenvalues of a short array": [() => stability.eigenvalueModuli([1], 4), /has 1 numbers; .* 16/],
  "the gain of a short array": [() => stability.amaxGain([1], 4), /has 1 numbers; .* 16/],
  "prepareData with half a seed": [
    () => runs.prepareData({ source: "a", vocabularySize: 300, cacheFolder: "/", seed: -1.5 }),
    /seed is -1\.5; /,
  ],
  "prepareData of no kind": [
    () => source({ kind: "constructor" }),
    /kind is "constructor"; it must be one of sotu, moby-dick, generated, path/,
  ],
  "prepareData without a path": [() => source({ kind: "path" }), /path is missing; it must be a text/],
  "prepareData of nothing": [() => runs.prepareData(js({})), /source is missing/],
  "prepareData of other documents": [
    () => source({ kind: "documents", name: "x", documents: [{ txt: "a" }] }),
    /no field of a document "txt"; .*Did you mean "text"/,
  ],
  "mixed of no list": [() => b.mixed(js({})), /must be a list of connections/],
  "mixed of no connections": [() => b.mixed(js([1])), /connection 0 is 1; it must be a connection/],
  "convertFile without a convention": [
    () => interop.convertFile("a", "b", js({})),
    /to is missing; it must be one of paper/,
  ],
  "a number encoded": [() => tokenizer.encode(js(5)), /5 is given; it must be a text/],
  "a number decoded": [() => tokenizer.decode(js(5)), /5 is given; it must be a list of tokens/],
  "a tokenizer of numbers": [
    () => data.trainTokenizer(js([1]), { vocabularySize: 300 }),
    /1 is given; it must be a text/,
  ],
  "a tokenizer of one text": [() => data.trainTokenizer("abc", { vocabularySize: 300 }), /must be a list of texts/],
  "no tokenizer": [() => new data.Tokenizer(js({})), /tokens is missing; it must be a list/],
  "metrics of no runs": [() => interop.prometheusText(js([{}])), /run 0 has no records; /],
  "a picture of nothing": [() => pipelines.timelineSvg(js([{}])), /title is missing; it must be a text/],
  "a residual with options": [() => b.residual(js({ a: 1 })), /residual: there is no option "a"; there are none\./],
  "a dense connection with options": [() => b.dense(js({ a: 1 })), /dense: there is no option "a"; there are none\./],
  "a reference runtime with options": [() => runtime.createReferenceRuntime(js({ zz: 1 })), /no option "zz"/],
  "a reference runtime of a name": [() => runtime.createReferenceRuntime(js("a")), /there are no options/],
  "no squares to clip": [() => ops.clipScale([]), /clipScale: there are no sums/],
  "squares to clip in no list": [() => ops.clipScale(js(t)), /clipScale: sums is .* it must be a list/],
  "nothing to train": [() => b.adamwUpdates(b.createParameters(), t), /adamwUpdates: the set has no parameters/],
  "random numbers of no seed": [() => models.samplingRandom(js("x")), /seed is "x"; it must be a whole number/],
  "random numbers of half a seed": [() => models.samplingRandom(1.5), /seed is 1\.5; it must be a whole number/],
  "a sum of one": [() => ops.add(t, js(undefined)), /add: b is undefined; it must be a tensor/],
  "axes in no list": [() => ops.permute(t, js({})), /permute: axes is .* it must be a list of axes/],
  "a sum without sources": [() => ops.weightedSum(t, js(undefined)), /sources is undefined; it must be a list/],
  "a rotation of no dimensions": [() => ops.cayley(t, js(undefined)), /dimensions is undefined; it must be a whole/],
  "a scope of nothing": [() => ops.scope("a", js(undefined)), /scope: build is undefined; it must be a function/],
  "a checkpoint of nothing": [() => ops.checkpoint(js(1)), /checkpoint: build is 1; it must be a function/],
  "nothing to keep": [() => ops.keep(js(undefined)), /keep: build is undefined; it must be a function/],
  "lintConnections of nothing": [() => study.lintConnections(js({})), /sublayers is missing; it must be a list/],
};

test.each(Object.entries(wrong))("%s is refused", async (_name, [call, message]) => {
  await expect(async () => call()).rejects.toThrow(message);
});

test("a forgotten initialise is told before the first step", () => {
  const parameters = b.createParameters();
  const loss = ops.mean(ops.square(parameters.create("weight", [4], { normal: 1 }, "weight")));
  const adamw = b.adamwUpdates(parameters, loss);
  const own = createReferenceRuntime();
  const program = own.compile({ outputs: { loss }, updates: adamw.updates });
  expect(() => adamw.write(own, 1)).toThrow(/"weight" holds only zeros; .*initialise\(runtime, parameters\)/);
  b.initialise(own, parameters);
  adamw.write(own, 1);
  program.run();
  expect(own.readNow(adamw.schedule)[0]).toBeGreaterThan(0);
});
