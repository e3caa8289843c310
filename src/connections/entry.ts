// Question: what does a connection declare, so that configurations and commands know it by name?
//
// It declares its kind, a schema for each of its options, and the function that makes it. The file of every
// connection has one such entry, and table.ts lists them.

import { z } from "zod";
import { MOST_STREAMS } from "../basics/bounds.ts";
import { count } from "../basics/schemas.ts";
import { type Connection, precisions } from "./connection.ts";

/** A connection as plain data: the name of its kind, and its options. */
interface Named {
  readonly kind: string;
}

/** Options O as a configuration stores them: with their kind K, and with a value in each field of `Always`. */
export type Configuration<K extends string, O, Always extends keyof O = never> = { readonly kind: K } & Omit<
  O,
  Always
> &
  Required<Pick<O, Always>>;

/** A schema for each option: with a default where the configuration always has the field, otherwise optional. */
type OptionSchemas<C extends Named> = {
  readonly [F in Exclude<keyof C, "kind">]-?: undefined extends C[F]
    ? z.ZodExactOptional<z.ZodType<Exclude<C[F], undefined>>>
    : z.ZodDefault<z.ZodType<C[F]>>;
};

/** A configuration without its kind. */
export type Options<C extends Named> = Omit<C, "kind">;

/** One line of the table of connections; C is its configuration. */
export interface ConnectionEntry<C extends Named> {
  readonly kind: C["kind"];
  readonly options: OptionSchemas<C>;
  /** @throws RangeError for what the schemas cannot check, such as a residual map that does not support n streams */
  readonly make: (options: Options<C>) => Connection;
}

/** Schemas that several connections share. */
export const streamsOption: z.ZodDefault<z.ZodInt> = count(MOST_STREAMS).default(4);
export const streamPrecisionOption: z.ZodExactOptional<z.ZodEnum<{ float32: "float32"; bfloat16: "bfloat16" }>> = z
  .enum(precisions)
  .exactOptional();
