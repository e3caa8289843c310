// Question: how does one rank decide for all?
//
// Rank 0 has the run: its folder, its alarms, the person who stops it. The others have only trainers. Whatever rank 0
// asks of its trainer it first tells the others, who ask the same of theirs; so every rank calls the same operations in
// the same order, and what rank 0 decides need not be decided again. A saved state that it restores it sends to all: the
// others read no checkpoint, and need not see its disk.

import { generateByScores } from "../../model/generate.ts";
import type { Collective } from "../../runtime/collective/collective.ts";
import { broadcastText, gatherTexts } from "../../runtime/collective/texts.ts";
import type { OwnState, SavedTensor, TrainerState } from "../state.ts";
import type { StepWishes, Trainer } from "../trainer.ts";

/** What rank 0 tells the others to do. */
type Order =
  | { readonly call: "trainStep"; readonly wishes: Pick<StepWishes, "rateFactor" | "ahead" | "instruments"> }
  | { readonly call: "keepOwn"; readonly place: string }
  | { readonly call: "nextScores"; readonly window: readonly number[] }
  | { readonly call: "evaluate" | "findNotFinite" | "gatherExperts" | "save" | "end" }
  | { readonly call: "restore"; readonly step: number; readonly model: Outline[]; readonly optimizer: Outline[] };

/** A tensor without its numbers. */
type Outline = Omit<SavedTensor, "data">;

const outlineOf = ({ name, shape }: SavedTensor): Outline => ({ name, shape });
const LEADER = 0;

/** Keeps one rank's part of a state at a place; what it returns is told to rank 0. It may not throw. */
export type KeepOwn = (own: OwnState, place: string) => string;

/** A trainer that others may follow. */
export interface LeadingTrainer extends Trainer {
  /** Let every rank keep its own part of the state, and hear what each says, in their order; absent of one that is alone. */
  keepOwn?(place: string): Promise<readonly string[]>;
}

/**
 * Rank 0's trainer, which the trainers of the other ranks follow; `endFollowers` lets them go.
 *
 * @param keep as the other ranks give it to `followTrainer`
 */
export function leadTrainer(collective: Collective, trainer: Trainer, keep: KeepOwn): LeadingTrainer {
  if (collective.size === 1) return trainer;
  let restored: TrainerState | undefined;
  const tell = async (order: Order): Promise<void> => {
    const state = restored;
    restored = undefined;
    if (state) await tellRestore(collective, state);
    await broadcastText(collective, LEADER, JSON.stringify(order));
  };
  const told =
    <A extends unknown[], R>(orderOf: (...given: A) => Order, call: (...given: A) => Promise<R>) =>
    async (...given: A): Promise<R> => {
      try {
        await tell(orderOf(...given));
        return await call(...given);
      } catch (error) {
        // The others wait within the same call and can hear of nothing else.
        return collective.abort((error as Error).message);
      }
    };
  const gatherExperts = trainer.gatherExperts
    ? told(() => ({ call: "gatherExperts" }), trainer.gatherExperts)
    : () => Promise.resolve();
  const nextScores =
    trainer.nextScores && told((window: readonly number[]) => ({ call: "nextScores", window }), trainer.nextScores);
  return {
    ...trainer,
    get step() {
      return trainer.step;
    },
    get begun() {
      return trainer.begun;
    },
    // A step of all ranks is not ended between its microbatches.
    trainStep: told(
      // Instruments are read by this rank alone, unless it needs the others' layers or experts for them.
      ({ rateFactor, ahead, instruments }: StepWishes = {}) => ({
        call: "trainStep",
        wishes: JSON.parse(
          JSON.stringify({ rateFactor, ahead, ...(trainer.observesTogether ? { instruments } : {}) }),
        ) as StepWishes,
      }),
      (wishes: StepWishes = {}) => trainer.trainStep(wishes),
    ),
    evaluate: told(
      () => ({ call: "evaluate" }),
      () => trainer.evaluate(),
    ),
    findNotFinite: told(
      () => ({ call: "findNotFinite" }),
      () => trainer.findNotFinite(),
    ),
    save: told(
      () => ({ call: "save" }),
      () => trainer.save({ for: LEADER }),
    ),
    view: told(
      () => ({ call: "save" }),
      () => trainer.view({ for: LEADER }),
    ),
    async *generate(prompt, options) {
      if (nextScores) {
        yield* generateByScores(prompt, options, { size: trainer.config.model.context, scoresOf: nextScores });
        return;
      }
      await gatherExperts();
      yield* trainer.generate(prompt, options);
    },
    viewOwn: () => trainer.viewOwn(),
    keepOwn: told(
      (place: string) => ({ call: "keepOwn", place }),
      async (place: string) => gatherTexts(collective, keep(await trainer.viewOwn(), place)),
    ),
    restore(state) {
      trainer.restore(state);
      restored = state;
    },
  };
}

/** Let the other ranks go, from rank 0. */
export async function endFollowers(collective: Collective): Promise<void> {
  if (collective.size > 1) await broadcastText(collective, LEADER, JSON.stringify({ call: "end" } satisfies Order));
}

/** Do what rank 0 tells, until it lets this rank go. */
export async function followTrainer(collective: Collective, trainer: Trainer, keep: KeepOwn): Promise<void> {
  const calls: { readonly [C in Order["call"]]: (order: Extract<Order, { call: C }>) => Promise<unknown> } = {
    trainStep: ({ wishes }) => trainer.trainStep(wishes),
    evaluate: () => trainer.evaluate(),
    findNotFinite: () => trainer.findNotFinite(),
    gatherExperts: async () => trainer.gatherExperts?.(),
    nextScores: async ({ window }) => trainer.nextScores?.(window),
    save: () => trainer.view({ for: LEADER }),
    keepOwn: async ({ place }) => gatherTexts(collective, keep(await trainer.viewOwn(), place)),
    restore: async (order) => trainer.restore(await hearState(collective, order)),
    end: () => Promise.resolve(),
  };
  for (;;) {
    const order = JSON.parse(await broadcastText(collective, LEADER)) as Order;
    await (calls[order.call] as (order: Order) => Promise<unknown>)(order);
    if (order.call === "end") return;
  }
}

async function tellRestore(collective: Collective, { step, model, optimizer }: TrainerState): Promise<void> {
  const order: Order = { call: "restore", step, model: model.map(outlineOf), optimizer: optimizer.map(outlineOf) };
  await broadcastText(collective, LEADER, JSON.stringify(order));
  for (const { data } of [...model, ...optimizer]) await collective.broadcast(data, LEADER).done();
}

async function hearState(
  collective: Collective,
  { step, model, optimizer }: Extract<Order, { call: "restore" }>,
): Promise<TrainerState> {
  const hear = async (outlines: readonly Outline[]): Promise<SavedTensor[]> => {
    const heard: SavedTensor[] = [];
    for (const outline of outlines) {
      const data = new Float32Array(outline.shape.reduce((a, b) => a * b, 1));
      await collective.broadcast(data, LEADER).done();
      heard.push({ ...outline, data });
    }
    return heard;
  };
  return { step, model: await hear(model), optimizer: await hear(optimizer) };
}
