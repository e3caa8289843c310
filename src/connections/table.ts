// Question: which connections are there, by name?
//
// The file of each connection says what its kind is called, which options it has and how it is made. To add
// a connection, write its file and name it here twice: its configuration among the types and its entry in
// the table. The compiler refuses one without the other.

import { z } from "zod";
import { expectName } from "../basics/fields.ts";
import { type AttentionResidualsConfig, attentionResidualsEntry } from "./attention-residuals.ts";
import type { Connection } from "./connection.ts";
import { type DenseConfig, denseEntry } from "./dense.ts";
import type { ConnectionEntry } from "./entry.ts";
import { type FracConfig, fracEntry } from "./frac.ts";
import { type GatedResidualConfig, gatedResidualEntry } from "./gated-residual.ts";
import { type HighwayConfig, highwayEntry } from "./highway.ts";
import { type HcConfig, hcEntry } from "./hc.ts";
import { learnedMaps, type LearnedMaps } from "./learned-maps.ts";
import { mhcEntry } from "./mhc.ts";
import type { MhcConfig } from "./mhc-options.ts";
import { type ResidualConfig, residualEntry } from "./residual.ts";

/** A connection as plain data; `createConnection` makes it. */
export type ConnectionConfig =
  | ResidualConfig
  | HcConfig
  | MhcConfig
  | HighwayConfig
  | DenseConfig
  | FracConfig
  | AttentionResidualsConfig
  | GatedResidualConfig;

/** Which connection: the field `kind` of its configuration. */
export type ConnectionKind = ConnectionConfig["kind"];

type Of<K extends ConnectionKind> = Extract<ConnectionConfig, { kind: K }>;

const table: { readonly [K in ConnectionKind]: ConnectionEntry<Of<K>> } = {
  residual: residualEntry,
  hc: hcEntry,
  mhc: mhcEntry,
  highway: highwayEntry,
  dense: denseEntry,
  frac: fracEntry,
  "attention-residuals": attentionResidualsEntry,
  "gated-residual": gatedResidualEntry,
};

/** Every kind of connection, by the name that configurations and the command line use. */
export const connectionKinds: readonly ConnectionKind[] = Object.values(table).map(({ kind }) => kind);

/** The names of a kind's options. */
export function connectionOptions(kind: ConnectionKind): readonly string[] {
  return Object.keys(table[kind].options);
}

/** The names that older versions used for two of the kinds, in configurations and on the command line. */
const olderNames: ReadonlyMap<string, ConnectionKind> = new Map([
  ["hyper", "hc"],
  ["manifold", "mhc"],
]);

/** A kind by its name, or by the name it had in older versions; capitals and small letters alike, as in mHC. */
export function connectionKind(name: string): ConnectionKind | undefined {
  const lower = name.toLowerCase();
  return olderNames.get(lower) ?? connectionKinds.find((kind) => kind === lower);
}

/**
 * A configuration in today's form. In an older one that calls mHC "manifold", the collapse "mean" also meant that
 * nobody chose one, and a convention with another end used its own. Today an absent collapse means that.
 */
function inTodaysForm(value: unknown): unknown {
  if (typeof value !== "object" || value === null || !("kind" in value)) return value;
  const kind = typeof value.kind === "string" ? connectionKind(value.kind) : undefined;
  if (kind === undefined || kind === value.kind) return value;
  if (value.kind !== "manifold" || !("collapse" in value) || value.collapse !== "mean") return { ...value, kind };
  const { collapse: _, ...rest } = value;
  return { ...rest, kind };
}

const schemas = Object.values(table).map(({ kind, options }) => z.strictObject({ kind: z.literal(kind), ...options }));
type Schema = (typeof schemas)[number];
const anyKind = z.discriminatedUnion(
  "kind",
  schemas as [Schema, ...Schema[]],
) as z.ZodType as z.ZodType<ConnectionConfig>;

/** Checks a connection's configuration, fills in its defaults, and reads those of older versions. */
export const connectionSchema: z.ZodType<ConnectionConfig> = z.preprocess(inTodaysForm, anyKind).superRefine(
  (config, context) => {
    try {
      createConnection(config);
    } catch (error) {
      context.addIssue({ code: "custom", message: (error as Error).message });
    }
  },
  // What an option may not be by itself is told of already.
  { when: ({ issues }) => issues.length === 0 },
);

/** Which of H_pre, H_post and H_res the sublayers of a connection learn; of one that mixes no streams, none. */
export function mapsOf(config: ConnectionConfig): LearnedMaps {
  if (config.kind === "mhc") return learnedMaps(config.maps ?? "all");
  return learnedMaps(config.kind === "hc" ? "all" : "none");
}

/** A kind of connection with all its defaults. */
export function defaultConnection(kind: ConnectionKind): ConnectionConfig {
  return connectionSchema.parse({ kind });
}

/**
 * The connection that a configuration describes.
 *
 * @throws RangeError for what the connection itself refuses, such as a residual map that does not support n streams
 */
export function createConnection(config: ConnectionConfig): Connection {
  expectName("createConnection", "kind", (config as Partial<ConnectionConfig> | undefined)?.kind, connectionKinds);
  return make(config);
}

function make<K extends ConnectionKind>({ kind, ...options }: Of<K>): Connection {
  return table[kind].make(options);
}
