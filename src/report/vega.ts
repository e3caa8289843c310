// Question: how is Vega loaded?
//
// When something is drawn: no other command pays for it, and nothing else needs it installed.

import { expectPackages } from "../files/packages.ts";

interface Vega {
  readonly vega: typeof import("vega");
  readonly compile: typeof import("vega-lite").compile;
}

/** @throws MissingPackages where they are not installed */
export async function loadVega(): Promise<Vega> {
  expectPackages("charts");
  const [vega, { compile }] = await Promise.all([import("vega"), import("vega-lite")]);
  return { vega, compile };
}
