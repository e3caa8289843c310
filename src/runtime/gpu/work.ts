// Question: what is the work of a call on a GPU?
//
// Kernels are text with the shapes as constants. The text is WGSL in a subset that is nearly C: one text serves WebGPU
// as it is, and CUDA by a few rules of translation. Three kinds of work:
//
//   elements   one value for each element, an expression of operands at an index; chains of them become one kernel
//   kernel     a body that every thread of every group runs
//   many       a body that is the same for many sets of operands, such as AdamW for each parameter: calls of one phase
//              with the same body become one kernel (see fuse.ts)
//
// A body knows `group` (which group of threads), `lane` (which thread of its group), both u32, and its operands as
// arrays. Groups are counted by the call; no group waits for another.
//
// What the subset has beyond C: `let` and `var` with types, `bitcast<T>`, `select(no, yes, condition)`, vec4<f32> made of
// four values and read by .x .y .z .w, memory that a group shares (var<workgroup>) or that is a thread's own
// (var<private>), workgroupBarrier(), and workgroupUniformLoad(&name): a scalar that one thread has put into shared
// memory, after a barrier, so that all threads know it to be the same (another barrier follows).

/**
 * What a buffer holds. bfloat16 lies in pairs in u32 words; "bf16" is an operand whose values are widened as they are
 * read and rounded as they are written: only machines that take stored forms have it (LoweringContext.stored).
 */
export type ElementType = "f32" | "i32" | "u32" | "bf16";

/** How an element is found in an operand of elementwise work. */
export interface ElementOperand {
  /** How the expressions call its value. */
  readonly name: string;
  readonly type: ElementType;
  /** Whether it holds bfloat16, two in a u32, which the expressions see as f32. */
  readonly narrow?: boolean;
  /** Its index for the element `i`; it may use values that come before it in the list. "i" is the element itself. */
  readonly index: string;
}

/** One value for each element; the operands are in the order of the call's, the written one last. */
export interface ElementWork {
  readonly kind: "elements";
  readonly reads: readonly ElementOperand[];
  readonly type: ElementType;
  /** Whether the value, an f32 that bfloat16 has, is stored as bfloat16, two in a u32. */
  readonly narrow?: boolean;
  /** An expression of the values that were read and of `i`, the number of the element. */
  readonly value: string;
  readonly functions: readonly string[];
  /** How many elements there are. */
  readonly size: number;
}

/** A body that all threads run; the operands are in the order of the call's. */
export interface KernelWork {
  readonly kind: "kernel";
  readonly operands: readonly { readonly name: string; readonly type: ElementType }[];
  /** Declarations beside the body: functions, and memory that a group shares. */
  readonly functions: readonly string[];
  readonly body: string;
  /** Threads of a group. */
  readonly width: number;
  readonly groups: number;
}

/**
 * A body that other calls may have as well, with other operands: shapes are in `numbers` alone. All operands have one
 * type. It may have more operands than a kernel may have buffers: whoever runs it finds them by a table of places.
 */
export interface ManyWork {
  readonly kind: "many";
  readonly operands: readonly { readonly name: string; readonly type: ElementType }[];
  readonly functions: readonly string[];
  /** It knows the numbers by name, each a u32. */
  readonly body: string;
  readonly numbers: Readonly<Record<string, number>>;
  readonly width: number;
  readonly groups: number;
}

/** A call that finds the first index out of range and writes [position + 1 or 0, index] where the host looks. */
export interface IndexCheck {
  readonly operation: string;
  readonly scope: string;
  /** Indices from 0 to rows − 1 are allowed. */
  readonly rows: number;
}

export type GpuWork = (ElementWork | KernelWork | ManyWork) & { readonly check?: IndexCheck };

/** A number as text, exactly as float32 has it; an infinity and NaN by their bits, since the text has no word for them. */
export function float(value: number): string {
  const rounded = Math.fround(value);
  if (!Number.isFinite(rounded)) {
    const bits = Number.isNaN(rounded) ? 0x7fc00000 : rounded > 0 ? 0x7f800000 : 0xff800000;
    return `fromBits(${bits}u)`;
  }
  const text = shortest(rounded);
  return text.startsWith("-") ? `(${text}f)` : `${text}f`;
}

/** The shortest decimal that float32 reads as the same number. */
function shortest(value: number): string {
  if (Object.is(value, -0)) return "-0.0";
  for (let digits = 1; digits <= 9; digits++) {
    const text = value.toPrecision(digits);
    if (Math.fround(Number(text)) === value) return /[.e]/.test(text) ? text : `${text}.0`;
  }
  return String(value);
}
