// Question: which tensors of a checkpoint belong to which connection?
//
//                  a sublayer's                                      the learned end's
//   birkhoff       P.attention.connection.phi, P.feedForward. ...    ending.phi, .alpha, .bias
//   deepseek       P.hc_attn_fn, _scale, _base, P.hc_ffn_ ...        hc_head_fn, _scale, _base
//   transformers   P.attn_hc.fn, .scale, .base, P.ffn_hc. ...        hc_head.hc_fn, .hc_scale, .hc_base
//
// The first two are this library's names and those of the released DeepSeek V4 checkpoints, the last those
// of Hugging Face's deepseek_v4. P is any prefix, such as layers.3 or mtp.0; it stays as it is.

import type { OpenSafetensors } from "../files/safetensors.ts";

export const namings = ["birkhoff", "deepseek", "transformers"] as const;
/** Whose names a file uses for its connections' tensors: this library's, the released checkpoints', Hugging Face's. */
export type Naming = (typeof namings)[number];

/** A connection in a file: its name, and its tensors by role. */
export interface FoundConnection {
  /** This library's name for it: layers.0.attention.connection, or ending. */
  readonly name: string;
  readonly naming: Naming;
  readonly kind: "sublayer" | "ending";
  /** phi (or theta), alpha, bias → the name of the tensor in the file. */
  readonly tensors: Readonly<Record<string, string>>;
}

interface Place {
  readonly connection: string;
  readonly kind: FoundConnection["kind"];
  readonly part: string;
}

interface NamingRule {
  readonly sublayer: RegExp;
  readonly ending: RegExp;
  /** The file's names for phi, alpha and bias. */
  readonly parts: Readonly<Record<string, string>>;
  /** The file's names for attention and feedForward. */
  readonly roles: Readonly<Record<string, string>>;
  format(prefix: string, role: string | undefined, part: string): string;
}

const ours = { phi: "phi", theta: "theta", alpha: "alpha", bias: "bias" };
const theirs = { phi: "fn", alpha: "scale", bias: "base" };
const theirRoles = { attention: "attn", feedForward: "ffn" };

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
};

const keyOf = (table: Readonly<Record<string, string>>, value: string): string =>
  Object.keys(table).find((key) => table[key] === value)!;

function placeOf(naming: Naming, tensor: string): Place | undefined {
  const { sublayer, ending, parts, roles } = rules[naming];
  const inSublayer = sublayer.exec(tensor);
  if (inSublayer) {
    const [, prefix, role, part] = inSublayer as unknown as [string, string, string, string];
    const connection = `${prefix}${keyOf(roles, role)}.connection`;
    return { connection, kind: "sublayer", part: keyOf(parts, part) };
  }
  const atEnd = ending.exec(tensor);
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
      connection.tensors[place.part] = name;
      byName.set(key, connection);
    }
  }
  return [...byName.values()];
}

/** The name of a connection's tensor in another naming. */
export function connectionTensorName(naming: Naming, connection: string, part: string): string {
  const { parts, roles, format } = rules[naming];
  const name = parts[part];
  if (name === undefined)
    throw new Error(`${connection}: the ${naming} names have no "${part}", which only HC has; use the birkhoff names`);
  const [, before, role] = /^(.*?)(attention|feedForward)\.connection$/.exec(connection) ?? [];
  if (role !== undefined) return format(before!, roles[role], name);
  return format(connection.slice(0, -"ending".length), undefined, name);
}
