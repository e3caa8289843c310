// train --timeline says before anything is trained that a page cannot be written where it is asked for.

import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, expect, test } from "vitest";
import { prepareTimeline } from "../../src/cli/timeline.ts";

const folder = mkdtempSync(path.join(os.tmpdir(), "birkhoff-timeline-"));
afterAll(() => rmSync(folder, { recursive: true }));

test("a folder in the place of the file is refused", () => {
  const taken = path.join(folder, "taken");
  mkdirSync(taken);
  expect(() => prepareTimeline(taken)).toThrow(
    `--timeline ${taken}: that is a folder; name a file in it, such as step.html.`,
  );
});

test.each(["step.html", path.join("deeper", "step.html")])(
  "a file in the place of the folder is refused: %s",
  (name) => {
    const file = path.join(folder, "file");
    writeFileSync(file, "");
    const asked = path.join(file, name);
    expect(() => prepareTimeline(asked)).toThrow(`--timeline ${asked}: its folder cannot be made (`);
  },
);

test("a folder that is missing is made", () => {
  prepareTimeline(path.join(folder, "a", "b", "step.html"));
  expect(existsSync(path.join(folder, "a", "b"))).toBe(true);
});
