// Question: how large may a count be?
//
// Configurations, options of functions and options of commands ask these bounds: beyond them a model could neither be
// held nor waited for.

/** The most that a count may be where nothing smaller bounds it: what 31 bits hold. */
export const MOST_COUNT: number = 2 ** 31 - 1;

/** The most layers of a model that is built here: graphs grow with them, and their plans faster than they do. */
export const MOST_LAYERS = 512;

/** The most channels, heads, columns of a head, experts and the like. */
export const MOST_WIDTH: number = 2 ** 20;

/** The most streams that a connection carries. */
export const MOST_STREAMS = 32;

/** The most tokens of a vocabulary, of a sequence, and the most columns within a feed-forward. */
export const MOST_TOKENS: number = 2 ** 24;

/** The most sequences of a training step, all its microbatches together; batches are numbered by step and sequence. */
export const MOST_SEQUENCES: number = 2 ** 20;

/** The most iterations of Sinkhorn-Knopp; sound ones are tens. */
export const MOST_ITERATIONS = 10_000;
