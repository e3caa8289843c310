// Question: what does the library export, and what do its sources say about it?
//
// Read from the syntax alone. Every export has its types written out (isolatedDeclarations), so a
// signature is a piece of the source: a declaration without its bodies. An entry is what package.json exports:
// src/index.ts for "birkhoff", src/ops.ts for "birkhoff/ops". It opens with a comment "// birkhoff/ops: what it
// is." and is divided into groups by comments "// Title: what a reader can do."; they are the pages of docs/api.

import { readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { type Class, type Comment, type Declaration, parseSync, type Program } from "oxc-parser";

export const root: string = fileURLToPath(new URL("..", import.meta.url));

/** A docstring: its text, then its tags in order. */
export interface Docstring {
  readonly text: string;
  readonly tags: readonly { readonly tag: string; readonly text: string }[];
}

/** A declaration as a reader sees it. */
export interface Declared {
  readonly name: string;
  readonly kind: "function" | "value" | "interface" | "type" | "class";
  /** Relative to the repository, such as src/ops/matmul.ts. */
  readonly file: string;
  readonly signature: string;
  readonly doc: Docstring | undefined;
  /** What the signature calls the parameters; undefined where one is taken apart. */
  readonly parameters: readonly (string | undefined)[];
  /** Types of this library in the signature, by name, and the files that declare them. */
  readonly mentions: ReadonlyMap<string, string>;
}

/** What stands together on one page of docs/api. */
export interface ExportGroup {
  readonly title: string;
  /** What a reader can do with it, as a command. */
  readonly about: string;
  readonly exports: readonly Declared[];
}

/** What package.json exports under one name. */
export interface PublicEntry {
  /** "birkhoff", or "birkhoff/ops". */
  readonly name: string;
  readonly file: string;
  readonly about: string;
  readonly groups: readonly ExportGroup[];
  /** Other entries of which it has everything. */
  readonly includes: readonly string[];
}

/**
 * The entries of package.json and all that they export, by group, in the order of their files. What an entry has from
 * another (`export *`), or from a part that another has, is said by the other's name.
 */
export function publicEntries(): PublicEntry[] {
  const { exports } = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8")) as { exports: object };
  const keys = Object.keys(exports).filter((key) => key !== "./package.json");
  const named = keys.map((key) => ({
    name: path.posix.join("birkhoff", key),
    file: `src/${key === "." ? "index" : key.slice(2)}.ts`,
  }));
  const owners = new Map(named.map(({ name, file }) => [file, name]));
  return named.map(({ name, file }) => publicEntry(name, file, owners));
}

/** @param owners which entry has a file; parts that none has yet are then this one's */
function publicEntry(name: string, file: string, owners: Map<string, string>): PublicEntry {
  const [, about] = new RegExp(`^${name}: ([^]+)$`).exec(headOf(file)) ?? [];
  if (!about) throw new Error(`${file}: the first comment must be "// ${name}: what it is."`);
  const starred = starredBy(file);
  const own = starred.filter((part) => !owners.has(part));
  for (const part of own) owners.set(part, name);
  const groups = new Map<string, ExportGroup>();
  for (const group of [file, ...own].flatMap(groupsOf)) {
    const before = groups.get(group.title);
    groups.set(group.title, before ? { ...before, exports: [...before.exports, ...group.exports] } : group);
  }
  return {
    name,
    file,
    about: about.replaceAll("\n", " "),
    groups: [...groups.values()],
    includes: starred.filter((part) => !own.includes(part)).map((part) => owners.get(part)!),
  };
}

/** The files of which a file exports everything. */
function starredBy(file: string): string[] {
  return parse(file).program.body.flatMap((statement) =>
    statement.type === "ExportAllDeclaration" ? [path.posix.join("src", statement.source.value)] : [],
  );
}

function groupsOf(file: string): ExportGroup[] {
  const { comments, program } = parse(file);
  const groups: { title: string; about: string; start: number; exports: Declared[] }[] = [];
  for (const { value, start } of comments) {
    const [, title, about] = /^ ([A-Z][\w ]*): (.+)$/.exec(value) ?? [];
    if (title && about) groups.push({ title, about, start, exports: [] });
  }
  for (const statement of program.body) {
    if (statement.type !== "ExportNamedDeclaration" || !statement.source) continue;
    const group = groups.findLast(({ start }) => start < statement.start);
    if (!group) throw new Error(`${file}: ${statement.source.value} needs a "// Title: what for." before it.`);
    const source = path.posix.join("src", statement.source.value);
    for (const { local } of statement.specifiers) group.exports.push(declared(source, nameOf(local)!));
  }
  return groups;
}

/** The first comment of a file: the question it answers, the maths, the shapes, the source. */
export function headOf(file: string): string {
  const { source } = parse(file);
  const [lines] = /^(\/\/.*\n)+/.exec(source) ?? [];
  if (lines) return lines.replace(/^\/\/ ?/gm, "").trim();
  const [, block] = /^\/\*([^]*?)\*\//.exec(source) ?? [];
  return withoutStars(block ?? "");
}

interface Parsed {
  readonly source: string;
  readonly program: Program;
  readonly comments: readonly Comment[];
}

const files = new Map<string, Parsed>();

function parse(file: string): Parsed {
  let found = files.get(file);
  if (!found) {
    const source = readFileSync(path.join(root, file), "utf8");
    const { program, comments, errors } = parseSync(file, source);
    if (errors[0]) throw new Error(`${file}: ${errors[0].message}`);
    files.set(file, (found = { source, program, comments }));
  }
  return found;
}

/** A top-level declaration of a file, by its name. */
export function declared(file: string, name: string): Declared {
  const { source, program, comments } = parse(file);
  const found = program.body.flatMap((statement) => {
    if (statement.type !== "ExportNamedDeclaration" || !statement.declaration) return [];
    const { declaration, start } = statement;
    return nameOfDeclaration(declaration) === name ? [{ declaration, start }] : [];
  });
  const [first] = found;
  if (!first) throw new Error(`${file} does not export a declaration called ${name}.`);
  // Of a function with overloads these are what a caller sees; the docstring stands before the first.
  const overloads = found.filter(({ declaration }) => declaration.type === "TSDeclareFunction");
  const seen = overloads.length > 0 ? overloads : [first];
  const comment = commentBefore(first.start, source, comments);
  const signature = seen.map(({ declaration }) => signatureOf(declaration, source, comments)).join("\n");
  return {
    name,
    kind: kinds[first.declaration.type] ?? "value",
    file,
    signature,
    doc: comment && docstring(withoutStars(comment.value)),
    parameters: seen.flatMap(({ declaration }) => ("params" in declaration ? declaration.params.map(nameOf) : [])),
    mentions: mentioned(signature, file),
  };
}

/** The docstring that ends where something begins. */
function commentBefore(start: number, source: string, comments: readonly Comment[]): Comment | undefined {
  const before = comments.findLast(({ end }) => end <= start);
  return before?.value.startsWith("*") && source.slice(before.end, start).trim() === "" ? before : undefined;
}

const kinds: Readonly<Partial<Record<Declaration["type"], Declared["kind"]>>> = {
  FunctionDeclaration: "function",
  TSDeclareFunction: "function",
  TSInterfaceDeclaration: "interface",
  TSTypeAliasDeclaration: "type",
  ClassDeclaration: "class",
};

function nameOf(node: object): string | undefined {
  return "name" in node && typeof node.name === "string" ? node.name : undefined;
}

function nameOfDeclaration(declaration: Declaration): string | undefined {
  const named = declaration.type === "VariableDeclaration" ? declaration.declarations[0] : declaration;
  return named && "id" in named && named.id ? nameOf(named.id) : undefined;
}

/** Values that say more than their type: lists and tables written out, unless of functions or of other lists. */
const WRITTEN_OUT = new Set(["ObjectExpression", "ArrayExpression", "TSAsExpression", "Literal"]);

function signatureOf(declaration: Declaration, source: string, comments: readonly Comment[]): string {
  const { start, end } = declaration;
  if (declaration.type === "FunctionDeclaration") return source.slice(start, declaration.body?.start).trim();
  if (declaration.type === "ClassDeclaration") return classSignature(declaration, source, comments);
  if (declaration.type !== "VariableDeclaration") return source.slice(start, end);
  const { init } = declaration.declarations[0]!;
  if (!init || (WRITTEN_OUT.has(init.type) && !/=>|\.\.\./.test(source.slice(init.start, end)))) {
    return source.slice(start, end);
  }
  return source.slice(start, init.start).replace(/\s*=\s*$/, ";");
}

/** The public members of a class with their comments, methods without bodies. */
function classSignature({ start, body }: Class, source: string, comments: readonly Comment[]): string {
  const members = body.body.flatMap((member) => {
    if (!("key" in member) || member.key.type === "PrivateIdentifier") return [];
    const value = member.type === "MethodDefinition" ? member.value.body : member.value;
    const stop = value && value.type !== "Literal" ? value.start : member.end;
    const from = commentBefore(member.start, source, comments)?.start ?? member.start;
    return `  ${source.slice(from, stop).replace(/[\s=;]*$/, ";")}`;
  });
  return `${source.slice(start, body.start)}{\n${members.join("\n")}\n}`;
}

/** Types of this library that a signature names: declared in the same file, or imported from another. */
function mentioned(signature: string, file: string): Map<string, string> {
  const words = new Set(withoutComments(signature).match(/\b[A-Z]\w*/g));
  const found = new Map<string, string>();
  for (const statement of parse(file).program.body) {
    if (statement.type === "ImportDeclaration" && statement.source.value.startsWith(".")) {
      const from = path.posix.join(path.posix.dirname(file), statement.source.value);
      for (const { local } of statement.specifiers) if (words.has(local.name)) found.set(local.name, from);
    } else if (statement.type === "ExportNamedDeclaration" && statement.declaration) {
      const name = nameOfDeclaration(statement.declaration);
      if (name && words.has(name)) found.set(name, file);
    }
  }
  return found;
}

function withoutComments(code: string): string {
  return code.replace(/\/\*[^]*?\*\/|\/\/.*/g, "").replace(/"[^"]*"/g, '""');
}

function withoutStars(comment: string): string {
  return comment
    .split("\n")
    .map((line) => line.replace(/^\s*\* ?/, ""))
    .join("\n")
    .trim();
}

function docstring(comment: string): Docstring {
  const [text = "", ...tags] = comment.split(/^@/m);
  return {
    text: text.trim(),
    tags: tags.map((tag) => {
      const [, name = "", rest = ""] = /^(\w+)\s*([^]*)$/.exec(tag)!;
      return { tag: name, text: rest.trim() };
    }),
  };
}
