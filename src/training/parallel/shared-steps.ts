// Question: what does a rank do in each step of a training that it shares?
//
// Its microbatches, then the exchange (exchange.ts). What a step tells is of all ranks: the mean loss is added up in the
// order of the microbatches, as one process adds it. Now and then the ranks compare a hash of their parameters, which
// must be the same bit for bit.

import { given } from "../../basics/given.ts";
import type { Batches } from "../../data/batches.ts";
import { sizeOf } from "../../graph/tensor.ts";
import type { Parameter } from "../../graph/parameters.ts";
import { gatherTexts } from "../../runtime/collective/texts.ts";
import type { TensorValues } from "../../runtime/program.ts";
import type { Program, Runtime } from "../../runtime/runtime.ts";
import type { TrainingConfig } from "../config.ts";
import { writeBatch } from "../inputs.ts";
import type { MicroOutputs } from "../step.ts";
import type { TrainerState } from "../state.ts";
import { expectSame } from "./agree.ts";
import { createExchange, type Exchange } from "./exchange.ts";
import type { Mesh } from "./mesh.ts";
import { ownBatches, type Share } from "./share.ts";
import type { SharedStep } from "./step.ts";
import { createTelling, type RankWork } from "./told.ts";

/** What a step of all ranks tells. */
export interface SharedStepTold {
  readonly loss: number;
  readonly gradientNorm: number;
  readonly squares: readonly number[];
  readonly expertLoad: readonly (readonly number[])[];
  readonly ranks: readonly RankWork[];
}

export interface SharedSteps extends Pick<Exchange, "arrived" | "moments" | "ownMoments" | "release"> {
  /**
   * Run this rank's part of a step, from 1; its schedule is written already.
   *
   * @param follows whether the next step is run at once: the new parameters may then arrive behind its forward pass, and
   *   whoever wants to look at them before must wait for `arrived`
   */
  run(step: number, follows: boolean): Promise<SharedStepTold>;
  restore(state: TrainerState): void;
  /** What `look` finds in the first microbatch of a step in which any rank finds something; it names the rank. */
  findNotFinite(step: number, look: () => Promise<string | undefined>): Promise<string | undefined>;
}

/** Steps between two comparisons of the ranks' parameters. */
export const COMPARE_EVERY = 100;

export function createSharedSteps(
  runtime: Runtime,
  mesh: Pick<Mesh, "rows" | "data">,
  batches: Batches,
  {
    step: shared,
    share,
    limit,
    reducePrecision,
    micro,
    last,
  }: {
    readonly step: SharedStep;
    readonly share: Share;
    /** The largest norm that is not clipped. */
    readonly limit: number;
    /** As what gradients travel. Default: float32 */
    readonly reducePrecision?: TrainingConfig["reducePrecision"] | undefined;
    readonly micro: Program<MicroOutputs>;
    readonly last: Program;
  },
): SharedSteps {
  const { trained, loads } = shared;
  const { rows: collective } = mesh;
  const exchange = createExchange(runtime, mesh, shared, { total: share.total, ...given({ reducePrecision }) });
  const batchOf = ownBatches(batches, share);
  const experts = loads.map(({ shape }) => sizeOf(shape));
  const tell = createTelling(collective, {
    total: share.total,
    tokens: share.batch * batches.contextLength * share.accumulate,
    runtime,
  });
  let ready = false;

  const feed = (step: number, index: number): void => {
    writeBatch(runtime, shared, batchOf(step - 1, index));
  };
  return {
    async run(step, follows) {
      collective.stepping(true);
      if (!ready) await exchange.start();
      ready = true;
      const losses: number[] = [];
      const ownLoads = experts.map((many) => new Float32Array(many));
      for (let index = 0; index < share.accumulate; index++) {
        feed(step, index);
        const isLast = index === share.accumulate - 1;
        await (isLast || shared.sendsEach ? exchange.run(micro) : exchange.add(micro));
        const [[loss = NaN], loadsNow] = await Promise.all([micro.read("loss"), micro.read("loads")]);
        losses.push(loss);
        for (const [layer, load] of loadsNow.entries())
          ownLoads[layer]!.forEach((sum, e) => void (ownLoads[layer]![e] = sum + load[e]!));
      }
      const { loss, loads: summed, ranks } = await tell(losses, ownLoads);
      const compares = step % COMPARE_EVERY === 0;
      const { norm, squares } = await exchange.update(last, { loads: summed, limit, behind: follows && !compares });
      if (compares) await expectSameParameters(runtime, mesh, trained, `the parameters after step ${step}`);
      collective.stepping(false);
      return { loss, gradientNorm: norm, squares, expertLoad: summed.map((load) => [...load]), ranks };
    },
    arrived: () => exchange.arrived(),
    moments: (to) => exchange.moments(to),
    ownMoments: () => exchange.ownMoments(),
    release: () => exchange.release(),
    async findNotFinite(step, look) {
      await exchange.arrived();
      let found: string | undefined;
      // Ranks that share experts need each other: none looks at fewer microbatches.
      for (let index = 0; index < share.accumulate && (found === undefined || micro.waits); index++) {
        feed(step, index);
        found = (await look()) ?? found;
      }
      for (const sum of shared.sums) runtime.write(sum, new Float32Array(sizeOf(sum.shape)));
      const all = await gatherTexts(collective, found ?? "");
      const rank = all.findIndex((each) => each !== "");
      return rank < 0 ? undefined : `${all[rank]} (rank ${rank})`;
    },
    restore(state) {
      exchange.restore(state);
      ready = true;
    },
  };
}

/**
 * Throw unless all ranks of `rows` have the same of what is not shared, and those of `data`, which have the same part of the
 * experts, the same of it.
 *
 * @param what as in "the parameters after step 100"
 */
export async function expectSameParameters(
  runtime: Runtime,
  { rows, data }: Pick<Mesh, "rows" | "data">,
  trained: readonly Parameter[],
  what: string,
): Promise<void> {
  const hash = async (parameters: readonly Parameter[]): Promise<string> => {
    let sum = 2166136261;
    for (const { tensor } of parameters) sum = hashOf(runtime.view?.(tensor) ?? (await runtime.read(tensor)), sum);
    return (sum >>> 0).toString(16);
  };
  await expectSame(rows, what, await hash(trained.filter(({ share }) => !share)));
  const parts = trained.filter(({ share }) => share);
  if (parts.length > 0) await expectSame(data, `${what} (experts)`, await hash(parts));
}

/** FNV-1a (Fowler, Noll, Vo) by words of 32 bits, with a turn of the sum, so that high bits reach low ones. */
export function hashOf(values: TensorValues, from = 2166136261): number {
  const words = new Int32Array(values.buffer, values.byteOffset, values.byteLength / 4);
  let sum = from | 0;
  for (let i = 0; i < words.length; i++) {
    sum = Math.imul(sum ^ words[i]!, 16777619);
    sum = (sum << 13) | (sum >>> 19);
  }
  return sum;
}
