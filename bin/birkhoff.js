#!/usr/bin/env node
// Question: can the built command be started here?
//
// Plain JavaScript that any Node reads, so that an old Node and a clone that is not built get a sentence, not a trace.

import { existsSync } from "node:fs";

const command = new URL("../dist/cli/main.js", import.meta.url);
const [major, minor] = process.versions.node.split(".").map(Number);

if (major < 20 || (major === 20 && minor < 12)) {
  process.stderr.write(`birkhoff: this is Node ${process.versions.node}; it must be 20.12 or newer. Update Node.\n`);
  process.exitCode = 1;
} else if (!existsSync(command)) {
  process.stderr.write("birkhoff: this clone is not built. Run npm ci, which installs and builds.\n");
  process.exitCode = 1;
} else {
  await import(command.href);
}
