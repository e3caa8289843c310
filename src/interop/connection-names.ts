// Question: which tensors of a checkpoint belong to which connection?
//
//                  a sublayer's                                      the learned end's
//   birkhoff       P.attention.connection.phi, P.feedForward. ...    ending.phi, .alpha, .bias
//   deepseek       P.hc_attn_fn, _scale, _base, P.hc_ffn_ ...        hc_head_fn, _scale, _base
//   transformers   P.attn_hc.fn, .scale, .base, P.ffn_hc. ...        hc_head.hc_fn, .hc_scale, .hc_base
//   liger          P.attn_mhc.phi, .alpha_pre, .alpha_post,           as birkhoff
//                  .alpha_res, .b, P.ffn_mhc. ...
//   megatron       P.self_attention_hyper_connection.                 as birkhoff
//                  mapping_proj.weight, .alpha_pre, ..., .bias,
//                  P.mlp_hyper_connection. ...
//
// The first two are this library's names and those of the released DeepSeek V4 checkpoints, the third those of
// Hugging Face's deepseek_v4, the last two those of LigerMHC (whose module has the name that a program gives it) and of
// Megatron's HyperConnectionModule. Those two keep the three scales apart, and Liger's φ lies the other way, [nC, rows].
// P is any prefix, such as layers.3 or mtp.0; it stays as it is.

import type { ConnectionWeights, Weights } from "../connections/conventions/evaluate.ts";
import type { ConventionName } from "../connections/conventions/table.ts";
import type { OpenSafetensors } from "../files/safetensors-format.ts";
import { shortName } from "../files/safetensors-header.ts";

export const namings = ["birkhoff", "deepseek", "transformers", "megatron", "liger"] as const;
/** Whose names a file uses for its connections' tensors: this library's, the released checkpoints', Hugging Face's. */
export type Naming = (typeof namings)[number];

/** A connection in a file: its name, and its tensors by role. */
export interface FoundConnection {
  /** This library's name for it: layers.0.attention.connection, or ending. */
  readonly name: string;
  readonly naming: Naming;
  readonly kind: "sublayer" | "ending";
  /** phi (or theta), alpha (or alphaPre, alphaPost, alphaRes), bias → the name of the tensor in the file. */
  readonly tensors: Readonly<Record<string, string>>;
}

interface Place {
  readonly connection: string;
  readonly kind: FoundConnection["kind"];
  readonly part: string;
}

interface NamingRule {
  readonly sublayer: RegExp;
  /** Absent: the end has this library's names. */
  readonly ending?: RegExp;
  /** The file's names for phi, alpha and bias. */
  readonly parts: Readonly<Record<string, string>>;
  /** The file's names for attention and feedForward. */
  readonly roles: Readonly<Record<string, string>>;
  format(prefix: string, role: string | undefined, part: string): string;
}

const ours = { phi: "phi", theta: "theta", alpha: "alpha", bias: "bias" };
const theirs = { phi: "fn", alpha: "scale", bias: "base" };
const theirRoles = { attention: "attn", feedForward: "ffn" };
const scales = { alphaPre: "alpha_pre", alphaPost: "alpha_post", alphaRes: "alpha_res" };
const scaleParts = Object.keys(scales);

const rules: Readonly<Record<Naming, NamingRule>> = {
  birkhoff: {
    sublayer: /^(.*?)(attention|feedForward)\.connection\.(phi|theta|alpha|bias)$/,
    ending: /^(.*?)ending\.(phi|alpha|bias)$/,
    parts: ours,
    roles: { attention: "attention", feedForward: "feedForward" },
    format: (prefix, role, part) =>
      role === undefined ? `${prefix}ending.${part}` : `${prefix}${role}.connection.${part}`,
  },
  deepseek: {
    sublayer: /^(.*?)hc_(attn|ffn)_(fn|scale|base)$/,
    ending: /^(.*?)hc_head_(fn|scale|base)$/,
    parts: theirs,
    roles: theirRoles,
    format: (prefix, role, part) => `${prefix}hc_${role ?? "head"}_${part}`,
  },
  transformers: {
    sublayer: /^(.*?)(attn|ffn)_hc\.(fn|scale|base)$/,
    ending: /^(.*?)hc_head\.hc_(fn|scale|base)$/,
    parts: theirs,
    roles: theirRoles,
    format: (prefix, role, part) =>
      role === undefined ? `${prefix}hc_head.hc_${part}` : `${prefix}${role}_hc.${part}`,
  },
  liger: {
    // The module's name is the program's choice; only its sublayer must be told by it.
    sublayer:
      /^(.*?)(?:[^.]*_)?(attn|attention|ffn|mlp|feed_?forward|moe)(?:_[^.]*)?\.(phi|alpha_pre|alpha_post|alpha_res|b)$/,
    parts: { phi: "phi", ...scales, bias: "b" },
    roles: theirRoles,
    format: (prefix, role, part) => (role === undefined ? `${prefix}ending.${part}` : `${prefix}${role}_mhc.${part}`),
  },
  megatron: {
    sublayer:
      /^(.*?)(self_attention|mlp)_hyper_connection\.(mapping_proj\.weight|alpha_pre|alpha_post|alpha_res|bias)$/,
    parts: { phi: "mapping_proj.weight", ...scales, bias: "bias" },
    roles: { attention: "self_attention", feedForward: "mlp" },
    format: (prefix, role, part) =>
      role === undefined ? `${prefix}ending.${part}` : `${prefix}${role}_hyper_connection.${part}`,
  },
};

const keyOf = (table: Readonly<Record<string, string>>, value: string): string =>
  Object.keys(table).find((key) => table[key] === value) ??
  (/^(attention|attn|self_attention)$/.test(value) ? "attention" : "feedForward");

function placeOf(naming: Naming, tensor: string): Place | undefined {
  const { sublayer, ending, parts, roles } = rules[naming];
  const inSublayer = sublayer.exec(tensor);
  if (inSublayer) {
    const [, prefix, role, part] = inSublayer as unknown as [string, string, string, string];
    const connection = `${prefix}${keyOf(roles, role)}.connection`;
    return { connection, kind: "sublayer", part: keyOf(parts, part) };
  }
  const atEnd = ending?.exec(tensor);
  if (!atEnd) return undefined;
  const [, prefix, part] = atEnd as unknown as [string, string, string];
  return { connection: `${prefix}ending`, kind: "ending", part: keyOf(parts, part) };
}

/** The connections among some tensors, in order of appearance. */
export function findConnections(tensors: OpenSafetensors["tensors"]): FoundConnection[] {
  const byName = new Map<string, FoundConnection & { tensors: Record<string, string> }>();
  for (const { name } of tensors) {
    for (const naming of namings) {
      const place = placeOf(naming, name);
      if (!place) continue;
      const key = `${naming} ${place.connection}`;
      const connection = byName.get(key) ?? { name: place.connection, naming, kind: place.kind, tensors: {} };
      const other = connection.tensors[place.part];
      if (other !== undefined)
        throw new Error(
          `${shortName(other)} and ${shortName(name)} are both ${place.part} of ${shortName(place.connection)}: a connection has one; remove or rename one of them`,
        );
      connection.tensors[place.part] = name;
      byName.set(key, connection);
      break;
    }
  }
  // Other modules have a tensor named b, too.
  return [...byName.values()].filter(
    ({ naming, tensors }) => naming !== "liger" || Object.keys(tensors).some((part) => part !== "bias"),
  );
}

/** The naming of a convention's own programs. */
export function namingOf(convention: ConventionName): Naming {
  if (convention === "liger" || convention === "megatron") return convention;
  return convention.startsWith("deepseek") ? "deepseek" : "birkhoff";
}

/** The tensors of a connection that has these weights, under a naming's names and in its layout. */
export function namedWeights(
  naming: Naming,
  connection: string,
  weights: ConnectionWeights,
): (Weights & { readonly name: string })[] {
  const apart = isApart(naming) && !connection.endsWith("ending");
  return Object.entries(weights).flatMap(([part, tensor]) => {
    if (apart && part === "alpha")
      return scaleParts.map((scale, i) => ({
        name: connectionTensorName(naming, connection, scale),
        shape: naming === "liger" ? [] : [1],
        data: [tensor.data[i]!],
      }));
    const stored = apart && naming === "liger" && part === "phi" ? turned(tensor) : tensor;
    return [{ name: connectionTensorName(naming, connection, part), ...stored }];
  });
}

/** A connection's weights in this library's layout, from the tensors of its file by part. */
export function joinedWeights(naming: Naming, stored: ConnectionWeights): ConnectionWeights {
  if (!isApart(naming)) return stored;
  const { alphaPre, alphaPost, alphaRes, phi, ...rest } = stored;
  const all = [alphaPre, alphaPost, alphaRes];
  return {
    ...(phi ? { phi: naming === "liger" && phi.shape.length === 2 ? turned(phi) : phi } : {}),
    ...(all.every((scale) => scale?.data.length === 1)
      ? { alpha: { shape: [3], data: Float32Array.from(all, (scale) => scale!.data[0]!) } }
      : {}),
    ...rest,
  };
}

const isApart = (naming: Naming): boolean => naming === "liger" || naming === "megatron";

/** A matrix that lies the other way. */
function turned({ shape, data }: Weights): Weights {
  const [rows, columns] = shape as [number, number];
  const moved = new Float32Array(data.length);
  // Of a tensor that was not read only the shape is known.
  if (data.length > 0)
    for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) moved[j * rows + i] = data[i * columns + j]!;
  return { shape: [columns, rows], data: moved };
}

/** The name of a connection's tensor in another naming. */
export function connectionTensorName(naming: Naming, connection: string, part: string): string {
  if (isApart(naming) && connection.endsWith("ending")) return connectionTensorName("birkhoff", connection, part);
  const { parts, roles, format } = rules[naming];
  const name = parts[part];
  if (name === undefined)
    throw new Error(`${connection}: the ${naming} names have no "${part}", which only HC has; use the birkhoff names`);
  const [, before, role] = /^(.*?)(attention|feedForward)\.connection$/.exec(connection) ?? [];
  if (role !== undefined) return format(before!, roles[role], name);
  return format(connection.slice(0, -"ending".length), undefined, name);
}
