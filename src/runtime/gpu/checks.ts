// Question: who is told that an index was out of range?
//
// Kernels find it while a program runs, and the host looks when something is read. Every read of the program's outputs,
// and of the states that it has spoiled, rejects with it. What concerns nobody who reads, or a program that is released
// before anything of it is read, is told by the next read, once.

import { stateOf } from "../../graph/state.ts";
import type { Tensor } from "../../graph/tensor.ts";
import { IndexError } from "../../ops/indices.ts";
import type { Piece, Place } from "./memory.ts";
import type { IndexCheck } from "./work.ts";

/** How a machine reads its memory: the bytes of each part, as they were when this was asked for. */
export interface CheckReads<B extends Piece> {
  /** @param reading where they are when it has its turn, and whether they are then set to zeros */
  read(reading: { places(): readonly Place<B>[]; readonly wipes?: boolean }): Promise<ArrayBuffer[]>;
}

/** A program whose runs are checked; or, to look it up, anything that stands for it. */
export interface Checked<B extends Piece> {
  readonly checks: readonly (IndexCheck & {
    /** Where its finding lies, when it is looked at. */
    place(): Place<B>;
  })[];
  /** The states that it updates. */
  readonly updated: ReadonlySet<Tensor>;
  /** Hears that its last run was wrong. */
  onWrong(): void;
}

interface Finding<B extends Piece> {
  readonly checked: Checked<B>;
  readonly error: IndexError;
}

export interface Checks<B extends Piece> {
  /** A program has been told to run. */
  ran(checked: Checked<B>): void;
  /** A program is given up: look at what its runs have found before its memory goes. */
  leave(checked: Checked<B>): void;
  /** Keep an error for the next read. */
  keep(error: Error): void;
  /**
   * To be called with a read, in the same turn; what it returns says what has been found, once the read is there: what it must reject with.
   *
   * @param concerns whether what is read depends on a program
   */
  look(concerns: (checked: Checked<B>) => boolean): () => Promise<Error | undefined>;
  /** Whoever was given an error has been told. */
  tell<E extends Error>(error: E): E;
}

export function createChecks<B extends Piece>(reads: CheckReads<B>): Checks<B> {
  /** Programs that have run since somebody looked. */
  const unseen = new Set<Checked<B>>();
  const runs = new WeakMap<Checked<B>, number>();
  /** Looks that are not answered yet. */
  const looks = new Set<Promise<readonly Finding<B>[]>>();
  const untold = new Set<Error>();
  const told = new WeakSet<Error>();

  const begin = (checked: readonly Checked<B>[]): void => {
    const all = checked.flatMap((one) => one.checks.map((check) => ({ one, check, runs: runs.get(one) })));
    const looking = reads
      .read({ places: () => all.map(({ check }) => check.place()), wipes: true })
      .then((values): readonly Finding<B>[] =>
        all.flatMap(({ one, check: { operation, scope, rows }, runs: looked }, at) => {
          const [position = 0, index = 0] = new Int32Array(values[at]!);
          if (position === 0) return [];
          if (runs.get(one) === looked) one.onWrong();
          const error = new IndexError(operation, { index, position: position - 1, rows }, scope);
          const spoiled = Array.from(one.updated, (state) => stateOf(state)?.name ?? "tensor");
          return [{ checked: one, error: error.spoiling(spoiled) }];
        }),
      )
      // What went wrong with the read itself is told by the read that it came with.
      .catch((): readonly Finding<B>[] => [])
      .then((findings) => {
        for (const { error } of findings) untold.add(error);
        looks.delete(looking);
        return findings;
      });
    looks.add(looking);
  };
  const tell = <E extends Error>(error: E): E => {
    untold.delete(error);
    told.add(error);
    return error;
  };
  return {
    ran(checked) {
      if (checked.checks.length === 0) return;
      unseen.add(checked);
      runs.set(checked, (runs.get(checked) ?? 0) + 1);
    },
    leave(checked) {
      if (unseen.delete(checked)) begin([checked]);
    },
    keep: (error) => void (told.has(error) || untold.add(error)),
    look(concerns) {
      if (unseen.size > 0) {
        begin([...unseen]);
        unseen.clear();
      }
      const before = [...looks];
      return async () => {
        const findings = (await Promise.all(before)).flat();
        const own = findings.find(({ checked }) => concerns(checked));
        const [error = own?.error] = own ? [] : untold;
        return error && tell(error);
      };
    },
    tell,
  };
}
