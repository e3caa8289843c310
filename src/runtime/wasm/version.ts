// Question: were the compiled kernels built for this very runtime?
//
// Both sides must agree on the arguments of every kernel and on the numbers of constants.ts. Kernels that read them
// otherwise would write anywhere or wait for ever. So a hash of both is compiled into the kernels, and the runtime
// compares it with its own.

import * as constants from "./constants.ts";
import { signatures } from "./signatures.ts";

/** Raise it when programs are encoded otherwise, or threads meet otherwise, with the same signatures and constants. */
const PROTOCOL = 3;

let known: number | undefined;

/** A hash of what the host and the kernels must agree on: 32 bits, signed (FNV-1a). */
export function interfaceVersion(): number {
  if (known !== undefined) return known;
  // Bundlers may order a module's names otherwise.
  const named = Object.entries(constants).sort(([a], [b]) => (a < b ? -1 : 1));
  const text = JSON.stringify([PROTOCOL, named, signatures]);
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return (known = hash | 0);
}
