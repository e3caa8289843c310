// Folders with files of known contents, for the tests that read texts.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll } from "vitest";

/** A temporary folder that is removed after the tests, and what puts files into new folders of it. */
export function makeFolders(name: string): {
  readonly root: string;
  /** Makes a folder with these files, by their paths in it. */
  put(files: Readonly<Record<string, string | Uint8Array>>): string;
} {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), `birkhoff-${name}-`));
  afterAll(() => fs.rmSync(root, { recursive: true }));
  let made = 0;
  return {
    root,
    put(files) {
      const folder = path.join(root, `case-${made++}`);
      fs.mkdirSync(folder);
      for (const [file, content] of Object.entries(files)) {
        fs.mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
        fs.writeFileSync(path.join(folder, file), content);
      }
      return folder;
    },
  };
}
