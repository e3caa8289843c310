// Question: how does a network use another connection in some of its sublayers?
//
// Connections of one form (Connection.form) can take over each other's state: two kinds of n streams, say,
// pass the streams on. Between two forms there is a boundary: the old connection collapses its state to
// channels, and the new one expands them to its own state.
//
//   state = next.expand(previous.collapse(state))
//
// A collapse by the sum multiplies what all streams share by n, and the residual branch after it keeps
// that scale. After a boundary, a connection counts its sublayers from 0 again.

import { showValue } from "../basics/show.ts";
import type { Connection, State } from "./connection.ts";

/**
 * One connection made of one connection per sublayer. Neighbours of one form hand their state on; elsewhere the
 * state is collapsed to channels and expanded again.
 *
 * @param connections in order of depth; at least one
 * @throws RangeError when there are none, or when a network asks for more sublayers than there are connections
 */
export function mixed(connections: readonly Connection[]): Connection {
  if (!Array.isArray(connections))
    throw new TypeError(
      `mixed: ${showValue(connections)} is given; it must be a list of connections. Give one for every sublayer, such as [residual(), mhc()].`,
    );
  for (const [at, each] of connections.entries())
    if (typeof (each as Connection | undefined)?.sublayer !== "function")
      throw new TypeError(
        `mixed: connection ${at} is ${showValue(each)}; it must be a connection. Give such as mhc().`,
      );
  const [first, last] = [connections[0], connections.at(-1)];
  if (!first || !last) throw new RangeError("mixed: there are no connections; give one for every sublayer.");
  const starts = runStarts(connections);
  return {
    name: "mixed",
    form: `mixed: ${[...new Set(connections.map(({ form }) => form))].join(", ")}`,
    expand: (x_TC) => first.expand(x_TC),
    sublayer(parameters, { channels, index }) {
      const connection = connections[index];
      if (!connection) {
        throw new RangeError(
          `mixed: there is no connection for sublayer ${index}; ${connections.length} were given, one for every sublayer.`,
        );
      }
      const start = starts[index] ?? index;
      const sublayer = connection.sublayer(parameters, { channels, index: index - start });
      const previous = start === index ? connections[index - 1] : undefined;
      const taken = (state: State): State => (previous ? connection.expand(previous.collapse(state)) : state);
      return { apply: (state, ...others) => sublayer.apply(taken(state), ...others) };
    },
    collapse: (state) => last.collapse(state),
    ...(last.ending ? { ending: (parameters, options) => last.ending!(parameters, options) } : {}),
  };
}

/** For every sublayer, the first one of its run; a run is neighbours that pass their state on. */
export function runStarts(connections: readonly Pick<Connection, "form">[]): number[] {
  let start = 0;
  return connections.map(({ form }, index) => {
    if (index > 0 && form !== connections[index - 1]!.form) start = index;
    return start;
  });
}
