// Question: which numbers must the kernels and the host agree on?
//
// TypeScript and AssemblyScript read this very file, so it holds nothing but literals: no expressions, no types.

/** Rows of a tile: a multiple of the GEMM's six, small enough that a chain's tile stays in the cache. */
export const ROW_TILE = 48;

/** Bytes of scratch that a kernel may use; every thread has its own. */
export const SCRATCH_BYTES = 1048576;
/** Behind the scratch: the arguments of one call with local buffers, which the thread copies for each task. */
export const ARGUMENT_BYTES = 4096;
/** Offsets of local buffers and their tiles are multiples of this. */
export const LOCAL_ALIGNMENT = 192;
/** What the base of the local buffers leaves modulo LOCAL_ALIGNMENT, above a whole multiple: no pointer is ever null. */
export const LOCAL_BEGIN = 256;

/** Bytes of the control block: words for the threads to find each other (kernels/interpreter.ts), and what went wrong. */
export const CONTROL_BYTES = 320;
/** Not 0 when the threads are to end. */
export const CONTROL_ENDED = 0;
/** Not 0 when a thread has trapped: nothing runs any more. 2 once it is written which call it was at, and what the engine said. */
export const CONTROL_FAILED = 16;
export const FAILED_CALL = 20;
export const FAILED_LENGTH = 24;
export const FAILED_TEXT = 128;
/**
 * What every phase writes shares one line of the cache, which passes from core to core once instead of several times.
 * 64 bits: how many tasks of the open phase nobody has taken, and above these the number of the phase.
 */
export const CONTROL_TICKET = 64;
/** The address of the program that runs. Of its open phase: the groups from one place of the list up to another, and their tasks. */
export const CONTROL_PROGRAM = 72;
export const CONTROL_GROUP = 76;
export const CONTROL_NEXT = 100;
export const CONTROL_TASKS = 80;
/** How many tasks of the open phase are done. */
export const CONTROL_DONE = 84;
/** Moves when sleepers may have something to do: a phase has opened, the run is over, a thread has failed, or all end. */
export const CONTROL_OPENED = 88;
/** How many threads sleep, and whether the last run is over. */
export const CONTROL_SLEEPERS = 92;
export const CONTROL_FINISHED = 96;
/** The first index of a run that was out of range: its call (0: there is none), position, value and the bound. */
export const OFFENCE_LOCK = 28;
export const OFFENCE_CALL = 32;
export const OFFENCE_POSITION = 36;
export const OFFENCE_INDEX = 40;
export const OFFENCE_ROWS = 44;

/** Columns that one item of sumPartials adds up. */
export const SUM_COLUMNS = 256;
/** Columns of a task of scatterAdd: four cache lines, so that a row's share is worth its jump. */
export const SCATTER_COLUMNS = 64;
/** The largest tile of gemmOuter and outerExperts: what the scratch holds. */
export const OUTER_ROWS = 256;
export const OUTER_COLUMNS = 320;

/** Tokens that share a vector operation of the coefficients (token-lanes.ts). */
export const LANES = 8;
/** Steps of sinkhorn-four.ts between two multiplications of its scalings into the matrix. */
export const FOUR_STEPS = 32;

/** Bits of the word `form` of the kernels in sinkhorn-forms.ts. */
export const FORM_SOFTMAX = 1;
export const FORM_COLUMNS_LAST = 2;
export const FORM_FLOOR = 4;
export const FORM_TRANSPOSED = 8;
