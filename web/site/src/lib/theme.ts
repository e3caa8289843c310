// Question: which colours has a connection on the site?

import { kindColours } from "../../../../src/report/figures/palette.ts";

/** A connection has the same colour in every picture of the project. */
export function setColours(): void {
  for (const [kind, colour] of Object.entries(kindColours))
    document.documentElement.style.setProperty(`--${kind}`, colour);
}
