// Question: which connection does each sublayer of a model use?
//
// One for all, or a default and overrides. A layer has two sublayers, distinguished by their role. Layers are
// counted from 0 and named by a list, [0, 1], or a range, "0-3", "2", "last", "4-last". An override without
// layers means all layers, one without a role means both roles. In a configuration a connection with `at` is short for a
// residual connection as the default and this one at some places (places.ts).

import { z } from "zod";
import { MOST_LAYERS } from "../basics/bounds.ts";
import { isObject } from "../basics/objects.ts";
import { showValue } from "../basics/show.ts";
import type { Connection } from "../connections/connection.ts";
import { mixed, runStarts } from "../connections/mixed.ts";
import { type ConnectionConfig, connectionSchema, createConnection } from "../connections/table.ts";
import { connectionAt } from "./places.ts";
import { problem } from "./problems.ts";

export const sublayerRoles = ["attention", "feedForward"] as const;
/** Which of the two sublayers of a layer. */
export type SublayerRole = (typeof sublayerRoles)[number];

/** The role of the sublayer at a position in the network, from 0. */
export function sublayerRole(index: number): SublayerRole {
  return sublayerRoles[index % 2]!;
}

/** A choice of sublayers: those of these layers in this role. Without layers or a role, it means all. */
export interface Override {
  /** Counted from 0: a list, [0, 1], or a range, "0-3", "2", "last", "4-last". */
  readonly layers?: readonly number[] | string;
  readonly role?: SublayerRole;
}

/** One connection for most sublayers and others for some; where overrides overlap, the last one wins. */
export interface MixedConnectionConfig {
  readonly default: ConnectionConfig;
  readonly overrides: readonly (Override & { readonly connection: ConnectionConfig })[];
}

/** What joins the sublayers of a model. */
export type ModelConnection = ConnectionConfig | MixedConnectionConfig;

const FORMS = 'layers must be a list of layers, such as [0, 1], or a range, such as "0-3", "2", "last" or "4-last"';
const RANGE = /^(\d+|last)(?:-(\d+|last))?$/;

const overrideSchema: z.ZodObject<{
  layers: z.ZodExactOptional<z.ZodUnion<readonly [z.ZodArray<z.ZodInt>, z.ZodString]>>;
  role: z.ZodExactOptional<z.ZodEnum<{ attention: "attention"; feedForward: "feedForward" }>>;
}> = z.strictObject({
  layers: z
    .union([z.array(z.int()).min(1).max(MOST_LAYERS), z.string().regex(RANGE, { error: FORMS })], { error: FORMS })
    .exactOptional(),
  role: z.enum(sublayerRoles).exactOptional(),
});

const mixedSchema: z.ZodType<MixedConnectionConfig> = z.strictObject({
  default: connectionSchema,
  overrides: z
    .array(overrideSchema.extend({ connection: connectionSchema }))
    .max(2 * MOST_LAYERS)
    .default([]),
});

/** Any of the forms; errors are reported for the form that was meant. */
export const modelConnectionSchema: z.ZodType<ModelConnection> = z.unknown().transform((value, context) => {
  const has = (field: string): boolean => isObject(value) && Object.hasOwn(value, field);
  const wanted = has("default") ? mixedSchema : connectionSchema;
  const { at, ...connection } = has("at") && !has("default") ? (value as { readonly at?: unknown }) : {};
  const given = at === undefined ? value : connection;
  const result = wanted.safeParse(given);
  try {
    if (result.success) return at === undefined ? result.data : connectionAt(result.data as ConnectionConfig, at);
  } catch (error) {
    context.addIssue({ code: "custom", path: ["at"], message: (error as Error).message });
  }
  for (const issue of result.error?.issues ?? [])
    context.addIssue({ code: "custom", path: [...issue.path], message: problem(issue, given, wanted) });
  return z.NEVER;
});

/**
 * The layers that an override means.
 *
 * @param layers a list or a range; undefined means all
 * @param count how many layers the model has
 * @throws RangeError when one does not exist, or the range is empty
 */
export function layersOf(layers: Override["layers"], count: number): number[] {
  if (layers === undefined) return Array.from({ length: count }, (_, layer) => layer);
  const numbers = typeof layers === "string" ? rangeOf(layers, count) : [...layers];
  if (numbers.length > 0 && numbers.every((layer) => Number.isInteger(layer) && layer >= 0 && layer < count))
    return numbers;
  throw new RangeError(
    `layers ${showValue(layers)} must name layers from 0 to ${count - 1} (the model has ${count}); a range must not end before it starts.`,
  );
}

function rangeOf(text: string, count: number): number[] {
  const match = RANGE.exec(text);
  if (!match) return [];
  const [from, to] = [match[1]!, match[2] ?? match[1]!].map((end) => (end === "last" ? count - 1 : Number(end)));
  // One more than there are, so that a range that goes beyond the last layer is refused.
  return Array.from({ length: Math.max(0, Math.min(to!, count) - from! + 1) }, (_, i) => from! + i);
}

/** Whether a configuration has a connection for most sublayers and others for some. */
export function isMixed(config: ModelConnection): config is MixedConnectionConfig {
  return "default" in config;
}

/** What this file needs to know about a model. */
interface Joined {
  readonly connection: ModelConnection;
  readonly layers: number;
}

/** What each sublayer uses, in order of depth: attention and feed-forward of layer 0, of layer 1, and so on. */
export function sublayerConnections({ connection, layers }: Joined): ConnectionConfig[] {
  const plain = isMixed(connection) ? connection.default : connection;
  const overrides = isMixed(connection) ? connection.overrides : [];
  const meant = overrides.map((override) => ({ ...override, layers: new Set(layersOf(override.layers, layers)) }));
  return Array.from({ length: 2 * layers }, (_, index) => {
    const role = sublayerRole(index);
    const holds = (override: (typeof meant)[number]): boolean =>
      (override.role ?? role) === role && override.layers.has(index >> 1);
    return meant.findLast(holds)?.connection ?? plain;
  });
}

/** For every sublayer, the first of those that hand their state on to it; see connections/mixed.ts. */
export function sublayerRuns(model: Joined): number[] {
  return runStarts(sublayerConnections(model).map(createConnection));
}

/**
 * The connection of a whole model, `mixed` where it is not the same for all sublayers.
 *
 * @throws RangeError for what its connections refuse, and for layers that the model does not have
 */
export function modelConnection(model: Joined): Connection {
  return isMixed(model.connection)
    ? mixed(sublayerConnections(model).map(createConnection))
    : createConnection(model.connection);
}
