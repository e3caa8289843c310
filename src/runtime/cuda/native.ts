// Question: how are C's functions called, and where does memory lie that they point into?
//
// koffi opens libraries when the program runs, so nothing is compiled or linked when Birkhoff is installed. Addresses are
// JavaScript numbers: they are below 2^53, and BigInt costs more than the call. A typed array over an ArrayBuffer of its
// own never moves, so its address, taken once, stays good.

import { expectPackages } from "../../files/packages.ts";

type Koffi = typeof import("koffi").default;

/** What a C function may be given: numbers, addresses, text, and arrays that it reads or writes before it returns. */
export type Argument = number | bigint | string | ArrayBufferView | readonly string[] | { readonly bytes: Uint8Array };

/** A function of a library: what it returns is its code. */
export interface NativeFunction {
  (...values: Argument[]): number;
  /** The same on another thread. */
  later(...values: Argument[]): Promise<number>;
}

export interface Library {
  /** @param parameters as C has them, such as "uint64_t at, size_t bytes" */
  code(name: string, parameters: string): NativeFunction;
  /** A function that returns a number which is no code. */
  number(name: string, parameters: string): (...values: Argument[]) => number;
  /** A function that returns text. */
  text(name: string, parameters: string): (...values: Argument[]) => string | null;
}

/** A few bytes at a fixed address. */
export interface Cell {
  readonly address: number;
  readonly view: DataView;
}

export interface Native {
  /** Open a library; throws an Error when it cannot be. */
  open(file: string): Library;
  cell(bytes: number): Cell;
  /** Let parameters have a type of this name: so many bytes by value, given as { bytes }. */
  nameBytes(name: string, bytes: number): void;
  /** Copy bytes from an address. */
  copyFrom(address: number, bytes: number): ArrayBuffer;
}

/** Names of types are one process's. */
const named = new Set<string>();

/**
 * @throws MissingPackages when koffi is not installed; it says the command that installs it
 */
export async function native(): Promise<Native> {
  expectPackages("cuda");
  const { default: koffi } = (await import("koffi")) as { default: Koffi };
  return {
    open(file) {
      const library = koffi.load(file);
      return {
        code(name, parameters) {
          const call = library.func(`int ${name}(${parameters})`);
          const later = (...values: Argument[]): Promise<number> =>
            new Promise((resolve, reject) => {
              call.async(...values, (error: Error | null, code: number) => (error ? reject(error) : resolve(code)));
            });
          return Object.assign((...values: Argument[]) => call(...values) as number, { later });
        },
        number(name, parameters) {
          const call = library.func(`size_t ${name}(${parameters})`);
          return (...values) => Number(call(...values));
        },
        text(name, parameters) {
          const call = library.func(`const char *${name}(${parameters})`);
          return (...values) => call(...values) as string | null;
        },
      };
    },
    cell(bytes) {
      const buffer = new ArrayBuffer(Math.max(8, bytes));
      return { address: Number(koffi.address(new Uint8Array(buffer))), view: new DataView(buffer) };
    },
    nameBytes(name, bytes) {
      if (named.has(name)) return;
      named.add(name);
      koffi.struct(name, { bytes: koffi.array("uint8_t", bytes) });
    },
    copyFrom: (address, bytes) => koffi.view(address, bytes).slice(0),
  };
}
