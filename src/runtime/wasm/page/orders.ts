// Question: what does a page ask of the worker that computes for it?
//
// Orders are done one after the other, and only reads are answered. The page knows where everything lies (layout.ts);
// the worker knows only addresses.

import type { IndexOffence } from "../../../ops/indices.ts";
import type { EngineOptions } from "../engine.ts";
import type { NamedCall } from "../failures.ts";
import type { Build } from "../module.ts";

/** Bytes of the memory. */
export interface Place {
  readonly address: number;
  readonly bytes: number;
}

/** What the page says, by its kind. */
export interface Orders {
  /** Start the engine; the first order, answered by `ready` or `failed`. */
  readonly start: EngineOptions;
  /** Make the memory at least so long. */
  readonly reach: { readonly bytes: number };
  /** Zeros. */
  readonly clear: Place;
  readonly set: { readonly address: number; readonly data: ArrayBuffer };
  readonly move: { readonly from: number; readonly to: number; readonly bytes: number };
  /** The words of a program, and names for what may go wrong in it. */
  readonly program: { readonly base: number; readonly words: ArrayBuffer; readonly calls: readonly NamedCall[] };
  readonly forget: { readonly base: number };
  readonly run: { readonly base: number };
  /** Answered by `values` or `wrong`. */
  readonly read: { readonly id: number; readonly places: readonly Place[] };
}

/** What went wrong, as it can be posted. */
export interface Wrong {
  readonly message: string;
  /** Of a run in which an index was out of range. */
  readonly index?: {
    readonly base: number;
    readonly operation: string;
    readonly offence: IndexOffence;
    readonly scope: string;
  };
}

/** What the worker says, by its kind. */
export interface Answers {
  readonly ready: {
    readonly build: Build;
    readonly kernelCode: string | undefined;
    readonly panelWidth: number;
    readonly kernels: readonly string[];
  };
  readonly failed: Wrong;
  readonly values: { readonly id: number; readonly values: readonly ArrayBuffer[] };
  readonly wrong: { readonly id: number; readonly wrong: Wrong };
}

/** A message: its kind, and what belongs to it. */
export type Message<All> = { readonly [K in keyof All]: { readonly kind: K } & All[K] }[keyof All];
