// Question: how does one line say which sublayers have a connection, and what do the others have?
//
//   at: "0-3"                  both sublayers of layers 0 to 3
//   at: "attention"            the attention of all layers
//   at: "0-1.attention+last"   several places: attention of the first two layers, and all of the last
//
// The others have a residual connection that leaves the state as it is: for connections of n streams mHC that learns no
// map (connections/learned-maps.ts), so that the streams pass through, and for those of channels x + F(x). It has no
// parameters. A model with no place at all is "none": a residual model that carries streams.

import { showValue } from "../basics/show.ts";
import { CHANNELS_FORM } from "../connections/connection.ts";
import { type ConnectionConfig, createConnection } from "../connections/table.ts";

/** Sublayers by their layers, their role or both; an override of a configuration without its connection. */
export interface Place {
  /** A range, such as "0-3" or "last"; absent: all. */
  readonly layers?: string;
  readonly role?: "attention" | "feedForward";
}

/** No sublayer. */
const NOWHERE = "none";

const PLACE =
  /^(?:(?<layers>\d+|last|\d+-(?:\d+|last))(?:\.(?<part>attention|feedForward))?|(?<role>attention|feedForward))$/;

/**
 * The places that a text names.
 *
 * @throws RangeError when it is not of the form above
 */
export function parsePlaces(text: unknown): Place[] {
  if (text === NOWHERE) return [];
  // A single layer may be given as a number.
  return String(text)
    .split("+")
    .map((part) => {
      const { layers, part: only, role = only } = PLACE.exec(part)?.groups ?? {};
      if (layers === undefined && role === undefined)
        throw new RangeError(
          `at: ${showValue(text)} is given; it must name places joined by +, each of them layers ("2", "0-3", "4-last", "last"), a role ("attention", "feedForward"), or both ("0-3.attention"); or "${NOWHERE}".`,
        );
      return {
        ...(layers === undefined ? {} : { layers }),
        ...(role === undefined ? {} : { role: role as NonNullable<Place["role"]> }),
      };
    });
}

/** The text of some sublayers, by their positions from 0: neighbouring layers as ranges, whole layers without a role. */
export function writePlaces(sublayers: readonly number[]): string {
  const chosen = new Set(sublayers);
  const layersWith = (...wanted: readonly [attention: boolean, feedForward: boolean]): number[] =>
    [...new Set([...chosen].map((index) => index >> 1))]
      .filter((layer) => chosen.has(2 * layer) === wanted[0] && chosen.has(2 * layer + 1) === wanted[1])
      .sort((a, b) => a - b);
  const parts = [
    ...ranges(layersWith(true, true)),
    ...ranges(layersWith(true, false)).map((range) => `${range}.attention`),
    ...ranges(layersWith(false, true)).map((range) => `${range}.feedForward`),
  ];
  return parts.length === 0 ? NOWHERE : parts.join("+");
}

/** Ascending numbers as ranges: 0, 1, 2, 5 → "0-2", "5". */
function ranges(numbers: readonly number[]): string[] {
  const found: [from: number, to: number][] = [];
  for (const number of numbers) {
    const last = found.at(-1);
    if (last && last[1] === number - 1) last[1] = number;
    else found.push([number, number]);
  }
  return found.map(([from, to]) => (from === to ? String(from) : `${from}-${to}`));
}

/**
 * The residual connection that leaves the state of another as it is.
 *
 * @throws RangeError where there is none: a state of outputs so far, or of streams with something beside them
 */
export function plainBeside(connection: ConnectionConfig): ConnectionConfig {
  const { form } = createConnection(connection);
  if (form === CHANNELS_FORM) return { kind: "residual" };
  const { streams, collapse, convention, streamPrecision } = connection as Partial<
    Extract<ConnectionConfig, { kind: "mhc" }>
  >;
  if (streams !== undefined) {
    const plain: ConnectionConfig = {
      kind: "mhc",
      streams,
      iterations: 20,
      ...(collapse === undefined ? {} : { collapse }),
      ...(convention === undefined ? {} : { convention }),
      ...(streamPrecision === undefined ? {} : { streamPrecision }),
      maps: "none",
    };
    if (convention !== "deepseek-v4.1" && createConnection(plain).form === form) return plain;
  }
  throw new RangeError(
    `at: the state of ${connection.kind} is ${form}, which no residual connection passes on. Leave at out, or take a connection of channels or of streams alone.`,
  );
}

/**
 * A connection at some places, and a residual one of the same state elsewhere.
 *
 * @throws RangeError for a text that names no places, and for a state that no residual connection passes on
 */
export function connectionAt(
  connection: ConnectionConfig,
  at: unknown,
): {
  readonly default: ConnectionConfig;
  readonly overrides: readonly (Place & { readonly connection: ConnectionConfig })[];
} {
  const places = parsePlaces(at);
  return { default: plainBeside(connection), overrides: places.map((place) => ({ ...place, connection })) };
}
