// Writes src/data/generated/bbh-questions.ts from a folder with BIG-Bench Hard's files: hashes of the questions of the
// tasks that are generated here, which are never trained on.
//
//   node scripts/hash-bbh.ts FOLDER      FOLDER holds boolean_expressions.json and the others

import fs from "node:fs";
import path from "node:path";
import { hashOf } from "../src/data/generated/held-out.ts";
import { generatedTasks } from "../src/data/generated/table.ts";

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error("no folder is given; it must hold BIG-Bench Hard's files. Give its path.");
const hashes = Object.keys(generatedTasks)
  .filter((name) => name.startsWith("bbh_"))
  .flatMap((name) => {
    const text = fs.readFileSync(path.join(folder, `${name.slice("bbh_".length)}.json`), "utf8");
    return (JSON.parse(text) as { examples: { input: string }[] }).examples.map(({ input }) => hashOf(input));
  });
const bytes = Buffer.from(Uint32Array.from([...new Set(hashes)].sort((a, b) => a - b)).buffer);
fs.writeFileSync(
  "src/data/generated/bbh-questions.ts",
  `// Question: which questions are BIG-Bench Hard's?
//
// Hashes (held-out.ts) of the questions of its ${Object.keys(generatedTasks).filter((name) => name.startsWith("bbh_")).length} generated tasks, four bytes each, as base64; the questions
// themselves are not here. Made by scripts/hash-bbh.ts.

export const bbhQuestions: string =
  "${bytes.toString("base64")}";
`,
);
