// Question: which version of Birkhoff is this?

import { readFileSync } from "node:fs";

/** The version of the package that this file belongs to. */
export const version: string = (
  JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { version: string }
).version;
