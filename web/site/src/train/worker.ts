// Question: how does a page train without ever being held up?
//
// All computing is here, in a worker. The page gives orders, which are looked at between two steps, and hears what every
// step did. What is trained is kept every few seconds, and whenever it pauses.

import { type Document, openRuntime, type PreparedTexts, type Runtime } from "../../../../src/browser.ts";
import { formatTokenizer } from "../../../../src/data/tokenizer-json.ts";
import { parseTokenizer } from "../../../../src/data/tokenizer-json-read.ts";
import { type Choice, configsOf, firstChoice, modelOf, titleOf } from "./choice.ts";
import { unzipRun, zipRuns } from "./run-folder.ts";
import {
  hasProjection,
  type ModelNews,
  type News,
  openSession,
  prepare,
  type Session,
  type Switch,
} from "./session.ts";
import { store, type Stored, stored } from "./store.ts";
import { promptOf, readText } from "./texts.ts";

/** What the page asks for. */
export type Order =
  | {
      readonly kind: "start";
      readonly choice: Choice;
      readonly own: string;
      readonly runtime: "auto" | "wasm" | "webgpu";
    }
  | { readonly kind: "resume"; readonly runtime: "auto" | "wasm" | "webgpu" }
  | {
      readonly kind: "open";
      readonly zip: ArrayBuffer;
      readonly text: Choice["text"];
      readonly own: string;
      readonly runtime: "auto" | "wasm" | "webgpu";
    }
  | { readonly kind: "go" | "pause" | "step" | "write" | "download" | "keep" }
  | { readonly kind: "rate"; readonly factor: number }
  | { readonly kind: "projection"; readonly model: number; readonly on: boolean };

/** What the page hears. */
export type Told =
  | { readonly kind: "progress"; readonly what: string }
  /** What was told of the steps before, in parts, before it is ready. */
  | { readonly kind: "before"; readonly news: readonly News[] }
  | {
      readonly kind: "ready";
      readonly choice: Choice;
      readonly device: string;
      readonly parameters: readonly number[];
      readonly free: readonly boolean[];
      /** Whether each has a projection that can be taken away. */
      readonly projected: readonly boolean[];
      readonly switches: readonly Switch[];
      readonly rateFactor: number;
    }
  | { readonly kind: "news"; readonly news: News }
  | { readonly kind: "projection"; readonly free: readonly boolean[]; readonly switches: readonly Switch[] }
  | { readonly kind: "written"; readonly step: number; readonly prompt: string; readonly texts: readonly string[] }
  /** Without a step where the browser has no room for it. */
  | { readonly kind: "kept"; readonly step: number | undefined }
  | { readonly kind: "zip"; readonly step: number; readonly bytes: ArrayBuffer }
  | { readonly kind: "paused" }
  | { readonly kind: "failed"; readonly message: string };

const tell = (told: Told, transfer: Transferable[] = []): void => globalThis.postMessage(told, { transfer });
/** Between two keepings at least, and at least so many times what one takes. */
const [KEEP_EVERY_MS, KEEP_SHARE] = [4000, 20];

let runtime: Runtime | undefined;
let session: Session | undefined;
let choice: Choice | undefined;
let texts: PreparedTexts | undefined;
let documents: readonly Document[] = [];
let own = "";
let opened: Stored["opened"];
let news: News[] = [];
let switches: Switch[] = [];
let rateFactor = 1;
/** Whether the page wants steps to be taken, and how many orders wait for the step in progress to end. */
let wanted = false;
let waiting = 0;
/** Whether there is something that is not kept. */
let changed = false;
/** Why no step can follow. */
let diverged: string | undefined;
let keptAt = 0;
let keepingMs = 0;

async function read(): Promise<void> {
  tell({ kind: "progress", what: "Reading the text" });
  documents = await readText(choice!.text, own, new URL("../", globalThis.location.href));
  tell({ kind: "progress", what: "Making tokens of it" });
  texts = prepare(documents, opened && parseTokenizer(opened.tokenizer));
}

/** So many steps at once keep no page waiting. */
const PART = 500;

/** Of matrices the page shows the last ones only. */
function tellBefore(): void {
  const last = news.findLastIndex(({ models }) => models.some(({ instruments }) => instruments?.mixing));
  const told = news.map((one, at): News => (at === last ? one : { ...one, models: one.models.map(withoutMatrices) }));
  for (let at = 0; at < told.length; at += PART) tell({ kind: "before", news: told.slice(at, at + PART) });
}

function withoutMatrices({ instruments, ...rest }: ModelNews): ModelNews {
  if (!instruments) return rest;
  const { mixing: _, ...others } = instruments;
  return { ...rest, instruments: others };
}

function deviceOf({ name, device: { threads } }: Runtime): string {
  if (name !== "wasm") return name === "webgpu" ? "WebGPU" : name;
  return `WebAssembly, ${threads} ${threads === 1 ? "thread" : "threads"}`;
}

async function open(wish: "auto" | "wasm" | "webgpu", kept?: Parameters<typeof openSession>[3]): Promise<void> {
  await read();
  tell({ kind: "progress", what: "Compiling the models" });
  runtime ??= await openRuntime({ runtime: wish });
  const configs = opened ? [opened.config] : configsOf(choice!, texts!.tokenizer.vocabularySize);
  session = openSession(runtime, configs, texts!, kept);
  tellBefore();
  tell({
    kind: "ready",
    choice: choice!,
    device: deviceOf(runtime),
    parameters: session.parameters,
    free: session.free,
    projected: configs.map(hasProjection),
    switches,
    rateFactor,
  });
}

async function keep(): Promise<void> {
  keptAt = performance.now();
  // Of a session that has diverged the state before is worth more.
  if (!session || !choice || session.step === 0 || !changed || diverged !== undefined) return;
  const { step } = session;
  changed = false;
  try {
    await store({ choice, own, news, switches, rateFactor, ...(opened && { opened }), kept: await session.keep() });
    keepingMs = performance.now() - keptAt;
    tell({ kind: "kept", step });
  } catch {
    // A private window may have no room; training goes on without.
    changed = true;
    tell({ kind: "kept", step: undefined });
  }
}

async function oneStep(): Promise<void> {
  if (diverged !== undefined) throw new Error(diverged);
  const done = await session!.train(rateFactor);
  changed = true;
  news.push(done);
  tell({ kind: "news", news: done });
  const at = done.models.findIndex(({ gradientNorm }) => !Number.isFinite(gradientNorm));
  if (at < 0) return;
  diverged =
    `${titleOf(choice!.models[at]!)} has diverged at step ${done.step}: the gradients of a model must be finite numbers. ` +
    "Choose again, and go on with what was kept before, or train with a lower learning rate.";
  throw new Error(diverged);
}

async function write(): Promise<void> {
  const prompt = promptOf(choice!.text, documents);
  const written: string[] = [];
  for (let index = 0; index < choice!.models.length; index++) written.push(await session!.write(index, prompt));
  tell({ kind: "written", step: session!.step, prompt, texts: written });
}

/** A run folder for each model. */
async function download(): Promise<void> {
  const { states } = await session!.keep();
  const { tokenizer } = texts!;
  const runs = states.map((state, index) => ({ config: session!.configs[index]!, tokenizer, state, news }));
  const bytes = await zipRuns(runs, runtime!.kernels);
  tell({ kind: "zip", step: session!.step, bytes: bytes.buffer }, [bytes.buffer]);
}

const turn = new MessageChannel();
/** Let orders in. */
const breathe = (): Promise<void> =>
  new Promise((resolve) => {
    turn.port1.addEventListener("message", () => resolve(), { once: true });
    turn.port1.start();
    turn.port2.postMessage(0);
  });

/** Orders change it between two steps. */
const goesOn = (): boolean => wanted && waiting === 0 && session !== undefined;

async function run(): Promise<void> {
  keptAt = performance.now();
  while (goesOn()) {
    await oneStep();
    if (performance.now() - keptAt > Math.max(KEEP_EVERY_MS, KEEP_SHARE * keepingMs)) await keep();
    await breathe();
  }
  await keep();
  tell({ kind: "paused" });
}

/** Orders that need the models wait for the step in progress. */
let line: Promise<void> = Promise.resolve();
const inLine = (act: () => Promise<void>): void => {
  line = line.then(act).catch((error: unknown) => {
    wanted = false;
    tell({ kind: "failed", message: error instanceof Error ? error.message : String(error) });
  });
};
/** Interrupt a run, do something between two steps, and go on if that is still wanted. */
const between = (act: () => Promise<void>): void => {
  waiting++;
  inLine(() => {
    waiting--;
    return act();
  });
  if (wanted) inLine(run);
};

const handlers: { readonly [K in Order["kind"]]: (order: Extract<Order, { readonly kind: K }>) => void } = {
  start: (order) =>
    inLine(async () => {
      [choice, own, news, switches, rateFactor, opened] = [order.choice, order.own, [], [], 1, undefined];
      await open(order.runtime);
    }),
  resume: (order) =>
    inLine(async () => {
      const found = await stored();
      ({ choice, own, rateFactor, opened } = found);
      [news, switches] = [[...found.news], [...found.switches]];
      await open(order.runtime, found.kept);
    }),
  open: (order) =>
    inLine(async () => {
      tell({ kind: "progress", what: "Opening the run" });
      const run = await unzipRun(new Uint8Array(order.zip));
      [own, news, switches, rateFactor] = [order.own, [...run.news], [], 1];
      opened = { config: run.config, tokenizer: formatTokenizer(run.tokenizer) };
      const { seed, optimizer } = run.config;
      const { learningRate } = optimizer;
      choice = { models: [modelOf(run.config)], text: order.text, size: firstChoice.size, seed, learningRate };
      await open(order.runtime, { free: [false], states: [run.state] });
      changed = true;
      await keep();
    }),
  go() {
    wanted = true;
    inLine(run);
  },
  pause() {
    wanted = false;
  },
  step: () =>
    inLine(async () => {
      await oneStep();
      await keep();
    }),
  keep: () => between(keep),
  write: () => between(write),
  download: () => between(download),
  rate({ factor }) {
    if (factor === rateFactor) return;
    rateFactor = factor;
    changed = true;
    if (!wanted) inLine(keep);
  },
  projection: ({ model, on }) =>
    between(async () => {
      if (!(await session?.setProjection(model, on))) return;
      switches = [...switches, { step: session!.step, model, on }];
      changed = true;
      if (!wanted) await keep();
      tell({ kind: "projection", free: session!.free, switches });
    }),
};

const take = <K extends Order["kind"]>(kind: K, order: Extract<Order, { readonly kind: K }>): void =>
  handlers[kind](order);

globalThis.addEventListener("message", ({ data }: MessageEvent<Order>) => take(data.kind, data as never));
