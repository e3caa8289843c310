// Question: how do the kernels read their arguments by name?
//
// From the signatures this writes AssemblyScript: a class for each kernel whose fields lie in memory as the words of
// a call do, so that args.x is one load. What follows a list of pointers has a class of its own, because its place
// is known only once the list has been walked to its null pointer.

import type { Signature } from "../src/runtime/wasm/signatures.ts";

const wordBytes = { i32: 4, f32: 4, f64: 8 };

/**
 * The module that the kernels import as "./arguments".
 *
 * @param version what the runtime compares with its own; see src/runtime/wasm/version.ts
 */
export function argumentClasses(signatures: Readonly<Record<string, Signature>>, version: number): string {
  const written = new Map<string, string>();
  const classes = Object.entries(signatures).flatMap(([kernel, { pointers, words }]) => {
    const name = kernel[0]!.toUpperCase() + kernel.slice(1);
    const layout = JSON.stringify([Object.keys(pointers), words]);
    const same = written.get(layout);
    written.set(layout, same ?? name);
    const list = Object.keys(pointers).some((pointer) => pointer.startsWith("..."));
    const parts = list ? ["Arguments", "Words"] : ["Arguments"];
    if (same !== undefined) return parts.map((part) => `export type ${name}${part} = ${same}${part};`);
    const pointerFields = Object.keys(pointers).map((pointer) => [pointer.replace("?", ""), "usize", 4] as const);
    const wordFields = Object.entries(words).map(([word, type]) => [word, type, wordBytes[type]] as const);
    return list
      ? [classOf(`${name}Arguments`, pointerFields), classOf(`${name}Words`, wordFields)]
      : [classOf(`${name}Arguments`, [...pointerFields, ...wordFields])];
  });
  return [
    "// Written by `npm run build:kernels` from ../signatures.ts.",
    "",
    "/** A hash of the signatures and constants; the runtime compares it with its own. */",
    `export const version: i32 = ${version};`,
    "",
    ...classes,
    "",
    "/** Where the words of a call lie whose pointers end with a list. */",
    "export function afterList(list: usize): usize {",
    "  while (load<i32>(list) != 0) list += 4;",
    "  return list + 4;",
    "}",
    "",
  ].join("\n");
}

/** Of a list the class has the address; lists are the last fields, and where a second one begins the kernel knows. */
function classOf(name: string, fields: readonly (readonly [name: string, type: string, bytes: number])[]): string {
  let offset = 0;
  let list = "";
  const lines: string[] = [];
  for (const [field, type, bytes] of fields) {
    if (list !== "" && !field.startsWith("..."))
      throw new Error(`signatures: ${name}.${field} follows the list ${list}; let lists be the last.`);
    if (offset % bytes !== 0) throw new Error(`signatures: ${name}.${field} must lie at a multiple of ${bytes} bytes.`);
    if (!field.startsWith("...")) lines.push(`${field}: ${type};`);
    else if (list === "")
      lines.push(`@inline get ${field.slice(3)}(): usize { return changetype<usize>(this) + ${offset}; }`);
    if (field.startsWith("...")) list = field;
    else offset += bytes;
  }
  return `@unmanaged export class ${name} { ${lines.join(" ")} }`;
}
