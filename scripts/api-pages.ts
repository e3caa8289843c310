// Question: what stands in docs/api?
//
// One page for each group of the public entries, and an index of all names. A page says what a reader can do,
// shows it (examples/api, run by a test), and then each name with its docstring. The head comment of a source
// file, which has the maths and the literature, follows its names.
// Run: npm run docs (a test fails when the pages are not what this makes of the sources).

import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { type Declared, type ExportGroup, headOf, publicEntries, type PublicEntry, root } from "./public-exports.ts";

export const folder = "docs/api";

/** Where a name is documented: "graphs.md#tensor". */
type Places = ReadonlyMap<string, string>;

/** The pages, by their path in the repository. */
export function apiPages(entries: readonly PublicEntry[] = publicEntries()): Map<string, string> {
  const groups = entries.flatMap((entry) => entry.groups.map((group) => ({ entry, group })));
  // A name that a page has as well is meant as it is elsewhere.
  const places = new Map(
    groups
      .toReversed()
      .flatMap(({ group }) => [...anchors(group)].map(([name, at]) => [name, `${pageOf(group)}.md${at}`])),
  );
  return new Map([
    [`${folder}/README.md`, index(entries)],
    ...groups.map(({ entry, group }): [string, string] => [
      `${folder}/${pageOf(group)}.md`,
      page(entry, group, places),
    ]),
  ]);
}

/** The name of a group's page, without its ending. */
export function pageOf({ title }: ExportGroup): string {
  return title.toLowerCase().replaceAll(" ", "-");
}

/** The example at the top of a group's page: a whole file of examples/api. */
export function exampleOf(group: ExportGroup): string {
  return `examples/api/${pageOf(group)}.ts`;
}

/** Files of a group, with what it shows of them; in the order of src/index.ts. */
function byFile({ exports }: ExportGroup): Map<string, Declared[]> {
  return Map.groupBy(exports, ({ file }) => file);
}

const fileTitle = (file: string): string => file.replace(/^src\//, "");

/** The anchors that GitHub and others give to a page's headings; equal ones are numbered. */
function anchors(group: ExportGroup): Map<string, string> {
  const seen = new Map<string, number>();
  const anchor = (heading: string): string => {
    const plain = heading
      .toLowerCase()
      .replace(/[^\w\- ]/g, "")
      .replaceAll(" ", "-");
    const count = seen.get(plain) ?? 0;
    seen.set(plain, count + 1);
    return `#${plain}${count === 0 ? "" : `-${count}`}`;
  };
  anchor(group.title);
  const found = new Map<string, string>();
  for (const [file, exports] of byFile(group)) {
    anchor(fileTitle(file));
    for (const { name } of exports) found.set(name, anchor(name));
  }
  return found;
}

function index(entries: readonly PublicEntry[]): string {
  const sections = entries.map(({ name, about, groups, includes }) => {
    const lists = groups.map((group) => {
      const places = anchors(group);
      const names = group.exports.map((one) => `[\`${one.name}\`](${pageOf(group)}.md${places.get(one.name)})`);
      return `**[${group.title}](${pageOf(group)}.md)**: ${group.about}\n\n${names.join(" · ")}\n`;
    });
    const more = includes.length === 0 ? "" : `It has everything of ${includes.join(", ")} as well.\n\n`;
    return `## ${name}\n\n${sentence(about)}\n\n${more}${lists.join("\n")}`;
  });
  return `${GENERATED}# The library\n\n${LEGEND}\n\n${sections.join("\n")}`;
}

const GENERATED = "<!-- Made from the sources by npm run docs; change the docstrings there. -->\n\n";
const LEGEND =
  "Every public name, by the entry that it is imported from. " +
  "Shapes are written [slowest axis, …, fastest axis]: B sequences, T tokens, C channels, V vocabulary, n streams; " +
  '"…" stands for any axes. Tensors are float32 unless a page says i32 or bf16. Words are explained in the ' +
  "[glossary](../glossary.md).";

function page(entry: PublicEntry, group: ExportGroup, places: Places): string {
  const parts = [...byFile(group)].map(([file, exports]) => {
    const head = withoutQuestion(headOf(file));
    const notes =
      head === ""
        ? ""
        : `\n<details><summary>How ${fileTitle(file)} begins</summary>\n\n\`\`\`text\n${head}\n\`\`\`\n\n</details>\n`;
    const link = `[${fileTitle(file)}](../../${file})`;
    return `## ${link}\n\n${exports.map((one) => section(one, places)).join("\n")}${notes}`;
  });
  const example = readFileSync(path.join(root, exampleOf(group)), "utf8").trimEnd();
  return (
    `${GENERATED}# ${group.title}\n\n${sentence(group.about)} Import these names from \`"${entry.name}"\`; ` +
    `[all names](README.md).\n\n\`\`\`ts\n${example}\n\`\`\`\n\n${parts.join("\n")}`
  );
}

/** A head without the question that it opens with, which is for those who look for a file. */
function withoutQuestion(head: string): string {
  return head.replace(/^Question: [^]*?\?(\n|$)/, "").trim();
}

function section(one: Declared, places: Places): string {
  const { name, signature, doc } = one;
  const lines = [`### ${name}`, "", "```ts", signature, "```", ""];
  if (doc?.text) lines.push(prose(doc.text), "");
  for (const { tag, text } of doc?.tags ?? []) lines.push(tagLine(tag, prose(text)));
  if (doc?.tags.length) lines.push("");
  const types = [...one.mentions].filter(([type]) => type !== name);
  if (types.length > 0) {
    const links = types.map(([type, file]) => `[${type}](${places.get(type) ?? `../../${file}`})`);
    lines.push(`Types: ${links.sort().join(", ")}`, "");
  }
  return lines.join("\n");
}

const labels: Readonly<Record<string, string>> = { returns: "**Returns**", throws: "**Throws**" };

function tagLine(tag: string, text: string): string {
  if (tag !== "param") return `- ${labels[tag] ?? tag} ${text}`;
  const [, name, rest] = /^(\S+)\s*([^]*)$/.exec(text)!;
  return `- \`${name}\` ${rest}`;
}

/** Docstrings are Markdown already, but for products, comparisons and shapes before a bracket. */
function prose(text: string): string {
  return text
    .split(/(`[^`]*`)/)
    .map((part, i) => (i % 2 === 1 ? part : part.replace(/[*<]|\](?=[([])/g, "\\$&")))
    .join("")
    .replace(/\bdocs\/([\w/-]+\.md)/g, "[docs/$1](../$1)")
    .replace(/arXiv (\d{4}\.\d{4,5})/g, "[arXiv $1](https://arxiv.org/abs/$1)");
}

function sentence(text: string): string {
  return text[0]!.toUpperCase() + text.slice(1);
}

if (import.meta.main) {
  const pages = apiPages();
  mkdirSync(path.join(root, folder), { recursive: true });
  for (const [file, text] of pages) writeFileSync(path.join(root, file), text);
  for (const file of readdirSync(path.join(root, folder))) {
    if (!pages.has(`${folder}/${file}`)) rmSync(path.join(root, folder, file));
  }
  process.stdout.write(`${pages.size} pages in ${folder}\n`);
}
