// Question: how are several runs trained side by side in one process?
//
// They take turns, step by step, so that their curves can be compared while they grow. A run that cannot go on ends
// alone, as does one that a request stops, and the others go on. At the end every run that is sound is saved; so it
// is when something else goes wrong, before the error goes up. The process, its signals and what a person sees are
// the caller's.

import { expectFields } from "../basics/fields.ts";
import { describeEvent } from "../training/alarms.ts";
import { RunStopped } from "../training/reactions.ts";
import type { EventRecord } from "../training/records.ts";
import type { Run } from "./run.ts";

/** What may be asked while runs train, of the run of a folder or of all. */
export type RunRequest = (action: "stop" | "checkpoint", folder?: string) => void;

/** Someone who asks, such as the live page; undefined when nobody listens any more. */
export interface RunRequests {
  listen(handler: RunRequest | undefined): void;
}

/** How runs are trained in turns; all of it may be left out. */
export interface TurnOptions<R extends Run> {
  /** Ends the loop after the step in progress, or between its microbatches; what is not done of it is dropped. */
  readonly signal?: AbortSignal;
  /** Answered between steps; a stop ends a step between its microbatches. */
  readonly requests?: RunRequests | undefined;
  /** After every step, with an estimate of the time that all runs will still take. */
  readonly onStep?: (run: R, secondsLeft: number | undefined) => void;
  /** Alarms, runs that end before the others, and requests that failed. */
  readonly onNote?: (message: string) => void;
}

/** How runs in turns ended. */
export interface TurnsResult<R extends Run> {
  /** Whether the signal or a request ended the loop. */
  readonly interrupted: boolean;
  /** Runs that could not go on, and why. */
  readonly failed: ReadonlyMap<R, RunStopped>;
  /** Runs that a request stopped alone. They are saved and closed, so that they can go on elsewhere at once. */
  readonly dismissed: ReadonlySet<R>;
}

/**
 * Train runs in turns until all are finished, or until they are asked to stop.
 *
 * @throws what a step or a save throws that is no RunStopped; all other runs are saved first
 */
export async function trainInTurns<R extends Run>(
  runs: readonly R[],
  options: TurnOptions<R> = {},
): Promise<TurnsResult<R>> {
  expectFields("trainInTurns", options, {
    signal: "anything",
    requests: "group",
    onStep: "function",
    onNote: "function",
  });
  const { signal, requests, onStep, onNote = () => {} } = options;
  const failed = new Map<R, RunStopped>();
  const dismissed = new Set<R>();
  let ended = false;
  const interrupted = (): boolean => ended || (signal?.aborted ?? false);
  const sound = (): R[] => runs.filter((run) => !failed.has(run) && !dismissed.has(run));
  const going = (): R[] => sound().filter((run) => !run.finished);
  const secondsLeft = clock(runs, going);
  const noteEvents = eventNotes(runs, onNote);

  const fail = (run: R, error: RunStopped): void => {
    failed.set(run, error);
    if (runs.length > 1) onNote(error.message);
  };
  const show = (run: R): void => {
    noteEvents(run);
    onStep?.(run, secondsLeft());
  };
  /** A save may end a step that had been begun. */
  const save = async (run: R): Promise<void> => {
    const { step } = run.trainer;
    try {
      await run.checkpoint();
    } finally {
      if (run.trainer.step !== step) show(run);
    }
  };
  const dismiss = async (run: R): Promise<void> => {
    await save(run);
    run.close();
    dismissed.add(run);
    onNote(`${run.config.name} is stopped and saved at step ${run.trainer.step}; the others go on.`);
  };
  const answer = async (...[action, folder]: Parameters<RunRequest>): Promise<void> => {
    const meant = sound().filter((run) => folder === undefined || run.folder.folder === folder);
    if (action === "checkpoint") return throwAll((await saveEach(meant, save)).map(({ error }) => error));
    const ending = meant.filter((run) => !run.finished);
    if (!going().some((run) => !meant.includes(run))) ended ||= ending.length > 0;
    else for (const run of ending) await dismiss(run);
  };
  const asked: Parameters<RunRequest>[] = [];
  const answerAll = async (): Promise<void> => {
    for (const request of asked.splice(0)) {
      try {
        await answer(...request);
      } catch (error) {
        // The run goes on after a save that was only asked for; the saves that are due by themselves decide.
        onNote(`A request (${request[0]}) failed: ${(error as Error).message}`);
      }
    }
  };
  let turn: { readonly run: R; readonly stop: AbortController } | undefined;
  const takeTurn = async (run: R): Promise<void> => {
    const stop = new AbortController();
    turn = { run, stop };
    try {
      await run.advance(stop.signal);
    } catch (error) {
      if (error instanceof RunStopped) fail(run, error);
      else if (!stop.signal.aborted || error !== stop.signal.reason) throw error;
    }
    show(run);
    // Signals and messages are delivered between steps, which may be synchronous.
    await new Promise((resolve) => setImmediate(resolve));
    await answerAll();
  };

  const endTurn = (): void => turn?.stop.abort();
  signal?.addEventListener("abort", endTurn);
  requests?.listen((...request) => {
    asked.push(request);
    const [action, folder] = request;
    if (action === "stop" && (folder === undefined || folder === turn?.run.folder.folder)) endTurn();
  });
  try {
    while (!interrupted() && going().length > 0) {
      for (const run of going()) if (!interrupted() && going().includes(run)) await takeTurn(run);
    }
  } catch (error) {
    // What a save throws now matters less than what went wrong first.
    await saveEach(sound(), save);
    throw error;
  } finally {
    signal?.removeEventListener("abort", endTurn);
    requests?.listen(undefined);
  }
  const unsaved = await saveEach(sound(), save);
  for (const { run, error } of unsaved) if (error instanceof RunStopped) fail(run, error);
  throwAll(unsaved.filter(({ run }) => !failed.has(run)).map(({ error }) => error));
  return { interrupted: interrupted(), failed, dismissed };
}

/** Save every run, also after one that cannot be saved; returns those that could not. */
async function saveEach<R extends Run>(
  runs: readonly R[],
  save: (run: R) => Promise<void>,
): Promise<{ run: R; error: unknown }[]> {
  const unsaved: { run: R; error: unknown }[] = [];
  for (const run of runs) {
    try {
      await save(run);
    } catch (error) {
      unsaved.push({ run, error });
    }
  }
  return unsaved;
}

/** One error that says what all of them say. */
function throwAll(errors: readonly unknown[]): void {
  if (errors.length > 0)
    throw new Error(errors.map((error) => (error as Error).message).join("\n"), { cause: errors[0] });
}

/** Notes the events of a run that are new; the one that stops it is in its error. */
function eventNotes(runs: readonly Run[], onNote: (message: string) => void): (run: Run) => void {
  const known = new Set<EventRecord>(runs.flatMap(({ events }) => events));
  return ({ config, events }) => {
    for (const event of events) {
      if (!known.has(event) && event.action !== "stop") onNote(`${config.name}: ${describeEvent(event)}`);
      known.add(event);
    }
  };
}

/** Tells how long the steps that are left will take, if they take as long as those since now. */
function clock<R extends Run>(runs: readonly R[], going: () => readonly R[]): () => number | undefined {
  const steps = (): number => runs.reduce((sum, { trainer }) => sum + trainer.step, 0);
  const [started, before] = [performance.now(), steps()];
  return () => {
    const done = steps() - before;
    const left = going().reduce((sum, { trainer, config }) => sum + config.steps - trainer.step, 0);
    return done > 3 ? ((performance.now() - started) / 1000 / done) * left : undefined;
  };
}
