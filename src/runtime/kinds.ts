// Question: which of the runtimes of a place is opened?
//
// Node and a page each have a table of runtimes, the fastest first (open.ts, open-page.ts).

import { expectFields, type FieldRules } from "../basics/fields.ts";
import type { Runtime, RuntimeFound } from "./runtime.ts";
import type { WasmOptions } from "./wasm/runtime.ts";

/** A runtime that can be opened. */
export interface RuntimeKind<Name extends string> {
  readonly name: Name;
  /** For people: what it computes with. */
  readonly description: string;
  /** See whether this computer has what it needs. */
  look(): Promise<RuntimeFound>;
  /** The options that it has. */
  readonly options: readonly (keyof WasmOptions)[];
  open(options: WasmOptions): Promise<Runtime>;
  /** Too slow for "auto" to take it. */
  readonly slow?: true;
  /** Asked for by name it is opened all the same: what is missing is then told by its own error. */
  readonly tellsWhatIsMissing?: true;
  /** Throws that error without opening it. */
  expect?(): Promise<void>;
}

/** Which runtime of a place, and how it uses the machine. */
export interface KindOptions<Name extends string> extends WasmOptions {
  readonly runtime?: Name | "auto";
}

/** Every runtime of a place as this computer has it, or has it not. */
export function listKinds<Name extends string>(
  kinds: readonly RuntimeKind<Name>[],
): Promise<readonly (RuntimeFound & Pick<RuntimeKind<Name>, "name" | "description">)[]> {
  return Promise.all(kinds.map(async ({ name, description, look }) => ({ name, description, ...(await look()) })));
}

/** An option that a runtime does not have would change nothing. */
function expectOptions({ name, description, options: known }: RuntimeKind<string>, options: WasmOptions): void {
  const given = Object.entries(options).find(
    ([option, value]) =>
      value !== undefined && !known.includes(option as keyof WasmOptions) && !isDefault(option, value),
  )?.[0];
  if (given !== undefined)
    throw new RangeError(
      `openRuntime: the ${name} runtime has no option "${given}"; it computes with ${description}. Leave ${given} out, or open another runtime.`,
    );
}

const isDefault = (name: string, value: unknown): boolean =>
  (name === "threads" && value === 1) || (name === "revectorise" && value === true);

/** The command line always says whether to revectorise: what is so by default asks for nothing. */
const asksForProcessor = ({ threads, revectorise, build }: WasmOptions): boolean =>
  threads !== undefined || revectorise === false || build !== undefined;

/**
 * Open a runtime of a place.
 *
 * @param whatThereIs who tells what this computer has
 */
export async function openKind<Name extends string>(
  kinds: readonly RuntimeKind<Name>[],
  asked: KindOptions<Name>,
  whatThereIs: string,
): Promise<Runtime> {
  const rules: FieldRules<KindOptions<string>> = {
    runtime: ["auto", ...kinds.map(({ name }) => name)],
    threads: "number",
    revectorise: "flag",
    build: ["relaxed", "simd"],
  };
  expectFields("openRuntime", asked as KindOptions<string>, rules);
  const { runtime = "auto", ...options } = asked;
  for (const kind of kinds) {
    const { name, look, open, slow, tellsWhatIsMissing } = kind;
    if (runtime === "auto" ? slow : runtime !== name) continue;
    if (runtime !== "auto") expectOptions(kind, options);
    // Who asks for threads, be it one, or for other vectors asks for the processor.
    else if (kind.options.length === 0 && asksForProcessor(options)) continue;
    if ((runtime !== "auto" && tellsWhatIsMissing) || (await look()).available) return open(options);
  }
  throw new Error(
    runtime === "auto"
      ? "openRuntime: this computer has no runtime that is fast; ask for one by its name, such as reference."
      : `openRuntime: this computer cannot use the ${runtime} runtime; ${whatThereIs} says what it has.`,
  );
}
