// Question: how is a step ordered once, and launched as one?
//
// Each dispatch of a program becomes a launch whose arguments lie at fixed addresses, or a product. The first run is
// recorded as a graph; each run then launches that. With `check` they are ordered one by one and waited for, so that
// what fails has a name.

import type { Dispatch } from "../gpu/fuse.ts";
import type { Buffer } from "../plan/calls.ts";
import type { KernelSlot, Kernels } from "./compile.ts";
import type { PreparedProduct, Products } from "./cublas.ts";
import type { Driver } from "./driver.ts";
import { type KernelText, kernelText, memberTable } from "./kernel-text.ts";
import type { Cell, Native } from "./native.ts";
import type { CudaWork, ProductWork } from "./work.ts";

export type CudaDispatch = Dispatch<CudaWork | ProductWork>;

/** A dispatch without places: what it launches. */
type Prepared =
  | { readonly kind: "kernel"; readonly label: string; readonly text: KernelText; readonly slot: KernelSlot }
  | { readonly kind: "product"; readonly label: string; readonly product: PreparedProduct };

/** A program's dispatches, their kernels asked for. */
export interface PreparedProgram {
  readonly dispatches: readonly CudaDispatch[];
  readonly prepared: readonly Prepared[];
  readonly multiplies: boolean;
}

/** A program at its places. */
export interface BoundProgram {
  /** Order all of it. */
  run(): void;
  /** The graph of it, if there is one, is gone. */
  release(): void;
}

/** Where the places of a kernel's members lie. */
export interface Table {
  readonly address: number;
  readonly size: number;
}

export interface ProgramMachine {
  readonly native: Native;
  readonly driver: Driver;
  readonly kernels: Kernels;
  readonly products: Products;
  readonly stream: number;
  /** Wait after each launch. */
  readonly check: boolean;
  /** Memory of the GPU with these words in it. */
  makeTable(words: BigUint64Array): Table;
  dropTable(table: Table): void;
}

export function prepareProgram(
  { kernels, products }: ProgramMachine,
  dispatches: readonly CudaDispatch[],
): PreparedProgram {
  const texts = new Map<CudaDispatch, KernelText>();
  for (const dispatch of dispatches) {
    const { kernel, calls } = dispatch;
    if (kernel.kind === "product") continue;
    const numbers = dispatch.members?.[0] && Object.keys(dispatch.members[0].numbers);
    texts.set(dispatch, kernelText(calls[0]?.kernel ?? "kernel", kernel, numbers));
  }
  const slots = kernels.request([...texts.values()]);
  const slotOf = new Map([...texts.keys()].map((dispatch, at) => [dispatch, slots[at]!]));
  const prepared = dispatches.map((dispatch): Prepared => {
    const { label, kernel } = dispatch;
    if (kernel.kind === "product") return { kind: "product", label, product: products.prepare(kernel, label) };
    return { kind: "kernel", label, text: texts.get(dispatch)!, slot: slotOf.get(dispatch)! };
  });
  return { dispatches, prepared, multiplies: prepared.some(({ kind }) => kind === "product") };
}

/** A launch's arguments, addresses or counts, and the list of where each lies. */
function argumentsAt(native: Native, addresses: readonly number[]): Cell {
  const count = addresses.length;
  const cell = native.cell(16 * count);
  for (const [at, address] of addresses.entries()) {
    cell.view.setBigUint64(8 * at, BigInt(address), true);
    cell.view.setBigUint64(8 * (count + at), BigInt(cell.address + 8 * at), true);
  }
  return cell;
}

/**
 * @param addressOf a buffer's place
 * @param workspace of products
 */
export function bindProgram(
  { native, driver, products, stream, check, makeTable, dropTable }: ProgramMachine,
  { dispatches, prepared }: PreparedProgram,
  addressOf: (buffer: Buffer) => number,
  workspace: number,
): BoundProgram {
  const tables: Table[] = [];
  const orders = prepared.map((each, at) => {
    const { members, buffers } = dispatches[at]!;
    const { label } = each;
    const addresses = members ? [] : buffers.map(addressOf);
    if (each.kind === "product") {
      const [a, b, third, fourth] = addresses as [number, number, number, number?];
      const places = fourth === undefined ? { a, b, c: third } : { a, b, addend: third, c: fourth };
      return { label, order: () => products.multiply(each.product, places, workspace, stream, label) };
    }
    const { text, slot } = each;
    if (members) {
      const table = makeTable(
        memberTable(
          members,
          members.map((member) => member.buffers.map(addressOf)),
        ),
      );
      tables.push(table);
      addresses.push(table.address, members.length);
    }
    const cell = argumentsAt(native, addresses);
    const parameters = cell.address + 8 * addresses.length;
    const { groups, width, sharedBytes } = text;
    return {
      label,
      // The cell is held by this closure: its address stays good.
      order: () => (
        void cell,
        driver.launch({ label, function: slot.function!, groups, width, sharedBytes, parameters }, stream)
      ),
    };
  });
  let executable: number | undefined;
  return {
    run() {
      if (check) {
        for (const { label, order } of orders) {
          order();
          driver.synchronize(stream, label);
        }
        return;
      }
      if (orders.length === 0) return;
      executable ??= driver.record(stream, () => {
        for (const { order } of orders) order();
      });
      driver.launchGraph(executable, stream);
    },
    release() {
      if (executable !== undefined) driver.destroyGraph(executable);
      executable = undefined;
      for (const table of tables.splice(0)) dropTable(table);
    },
  };
}
