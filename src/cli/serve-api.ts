// birkhoff serve RUN --api: answer requests with a run's last checkpoint.

import { availableParallelism } from "node:os";
import path from "node:path";
import { showList } from "../basics/show.ts";
import { readTokenizer } from "../data/tokenizer-file.ts";
import { createParameters } from "../graph/parameters.ts";
import { languageModel } from "../model/language-model.ts";
import { expectPackages } from "../files/packages.ts";
import { latestCheckpoint, loadModel } from "../runs/checkpoint.ts";
import { openRunFolder } from "../runs/run-folder.ts";
import { type Change, expectFit, leastNeed, memoryLimits } from "../planning/here/memory-limit.ts";
import { planServing, type RunningModel } from "../planning/here/model-memory.ts";
import { expectFree } from "../report/server/listen.ts";
import type { Machine } from "../runtime/plan/machine.ts";
import { inPrecision } from "../runtime/precision.ts";
import { readChatTemplate } from "../serving/chat-template.ts";
import { createEngine, type EngineOptions, shapesFor } from "../serving/engine.ts";
import { listenForApi } from "../serving/listen.ts";
import { createPromptEncoder } from "../serving/prompt-encoder.ts";
import { WARM_UP_SECONDS, warmUp } from "../serving/warm-up.ts";
import { parseTrainingConfig } from "../training/config.ts";
import { restoreTensors } from "../training/restore.ts";
import { untilEnded } from "./interrupt.ts";
import type { MachineOptions, MemoryOption } from "./options.ts";
import { expectChosen, openChosen } from "./runtime.ts";
import { say, warn } from "./warn.ts";

export interface ServeApiOptions extends MachineOptions, MemoryOption, EngineOptions {
  readonly host: string;
  readonly port: number;
  readonly key: string | undefined;
  readonly deadline: number;
  readonly pace: number;
  readonly drain: number;
  readonly warmUp: boolean;
  readonly json?: boolean;
}

export async function serveApi(folder: string, options: ServeApiOptions): Promise<void> {
  await expectChosen(options);
  expectPackages("page");
  await expectFree(options);
  const { config: described } = openRunFolder(folder);
  const config = parseTrainingConfig(described, path.join(folder, "config.json"));
  const place = latestCheckpoint(folder, warn);
  if (!place) throw new Error(`${folder} has no checkpoint yet; train it first: birkhoff train --resume ${folder}`);
  const tokenizer = readTokenizer(path.join(folder, "tokenizer.json"));
  const template = await readChatTemplate(folder);
  const name = path.basename(path.resolve(folder));

  const runtime = inPrecision(await openChosen(options, othersThanSockets()), config.precision);
  try {
    if (runtime.machine) expectRoom(config, runtime.machine, options);
    const parameters = createParameters();
    const model = languageModel(config.model, parameters);
    restoreTensors(runtime, parameters.all, loadModel(place.folder).model, "model");
    const engine = await createEngine(runtime, model, options);
    if (!engine.invariant)
      warn("On this machine the bits of an answer can depend on what else is being answered; /metrics says so too.");
    const created = Math.floor(Date.now() / 1000);
    const { context, vocabulary } = config.model;
    const served = {
      name,
      created,
      engine,
      tokenizer,
      encoder: createPromptEncoder(tokenizer),
      template,
      context,
      vocabulary,
    };
    if (options.warmUp) {
      say(`Answering requests of its own until the times no longer fall, for ${WARM_UP_SECONDS} s at most.`);
      await warmUp(served);
    }
    const server = await listenForApi(served, options);
    if (options.json)
      process.stdout.write(`${JSON.stringify({ url: server.url, port: server.port, model: name, context })}\n`);
    else
      process.stdout.write(
        `${name} on ${server.url}v1: ${options.slots} texts at a time, ${options.queue} more may wait, ${context} tokens each.\n` +
          `Programs of ${showList([...engine.sizes])} rows. Ctrl-C ends the server after the texts that it has.\n`,
      );
    await untilEnded();
    const left = engine.load.active + engine.load.waiting;
    say(`Finishing ${left === 1 ? "1 text" : `${left} texts`}, for ${options.drain} s at most.`);
    await server.stop(options.drain);
  } finally {
    runtime.close();
  }
}

/**
 * Threads of the processor for the model: one core is left to the sockets, and to what reads them on this machine. Where
 * none is left, a token waits at times for the operating system's next turn, several times as long as for the model.
 */
const othersThanSockets = (): number => Math.max(1, availableParallelism() - 1);

/** Throw if memory does not suffice for so many texts. */
function expectRoom(running: RunningModel, machine: Machine, { slots, memory }: ServeApiOptions): void {
  const fewer = Math.max(1, slots >> 1);
  expectFit<Change & { readonly slots: number }>(
    `Serving ${slots} texts at a time`,
    memoryLimits(machine.device, memory),
    ([change]) => planServing(running, machine, Math.max(2, change?.slots ?? slots), shapesFor(change?.slots ?? slots)),
    slots > 1 ? [{ option: `--slots ${fewer}`, slots: fewer }] : [],
    "Most of it is the model: free some memory, or use a smaller model.",
    leastNeed([running.model], 4),
  );
}
