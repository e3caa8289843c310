// The built package in a clone: its command can be executed as it lies, as npx does.

import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const root = new URL("../../", import.meta.url);
const { bin, version } = JSON.parse(fs.readFileSync(new URL("package.json", root), "utf8")) as {
  bin: { birkhoff: string };
  version: string;
};
const command = fileURLToPath(new URL(bin.birkhoff, root));

test.skipIf(!fs.existsSync(command))("birkhoff --version, by the file itself", () => {
  expect(execFileSync(command, ["--version"], { encoding: "utf8" }).trim()).toBe(version);
});
