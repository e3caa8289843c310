// Question: which token comes next, given a score for each?
//
//   1. repetition penalty θ (Keskar et al. 2019, arXiv 1909.05858, in today's usual form):
//      scores of tokens that are already in the text are divided by θ where positive, multiplied where negative
//   2. p_i ∝ exp(s_i / temperature); at temperature 0 only the largest score remains
//   3. top-k: the k most likely tokens (Fan et al. 2018, arXiv 1805.04833)
//   4. top-p: of these the smallest set of mass ≥ p (Holtzman et al. 2020, arXiv 1904.09751)
//   5. min-p: those at least min-p times as likely as the most likely (Nguyen et al. 2024, arXiv 2407.01082)
//
// The next token is drawn in proportion to the remaining probabilities. Equally likely tokens are ordered by their
// ids, so that the choice depends on the scores alone.

/** How to choose from a distribution. An absent option changes nothing, except for the temperature. */
export interface SamplingRules {
  /** 0 takes the most likely token; 1 samples from the model's distribution. Default 0.8. */
  readonly temperature?: number;
  /** Only the k most likely tokens are considered. Default: all. */
  readonly topK?: number;
  /** Only the smallest set of most likely tokens whose probabilities sum to at least this, in (0, 1]. Default 1. */
  readonly topP?: number;
  /** Only tokens at least this many times as likely as the most likely one, in [0, 1]. Default 0. */
  readonly minP?: number;
  /** Makes tokens that are already in the text less likely; above 0. Default 1: no change. */
  readonly repetitionPenalty?: number;
}

/** Tokens that may come next and their probabilities, which sum to one. */
export interface Distribution {
  readonly tokens: ArrayLike<number>;
  readonly probabilities: ArrayLike<number>;
}

/** For each option, which values it may have, and the same in words. */
const allowed: Readonly<Record<keyof SamplingRules, readonly [fits: (value: number) => boolean, said: string]>> = {
  temperature: [(value) => value >= 0 && value < Infinity, "the temperature must be 0 or more"],
  topK: [(value) => Number.isInteger(value) && value >= 1, "topK must be a whole number of at least 1"],
  topP: [(value) => value > 0 && value <= 1, "topP must be above 0 and at most 1"],
  minP: [(value) => value >= 0 && value <= 1, "minP must be from 0 to 1"],
  repetitionPenalty: [
    (value) => value > 0 && value < Infinity,
    "repetitionPenalty must be above 0 (1 changes nothing)",
  ],
};

/** @throws RangeError that names the option, its value and what is allowed */
export function checkRules(rules: SamplingRules): void {
  for (const [name, [fits, said]] of Object.entries(allowed)) {
    const value = rules[name as keyof SamplingRules];
    if (value !== undefined && !fits(value)) throw new RangeError(`generate: ${said}, got ${value}.`);
  }
}

/**
 * The tokens that may come next.
 *
 * @param scores of every token of the vocabulary
 * @param seen tokens of the text so far; only the repetition penalty asks for them
 */
export function nextTokens(
  scores: ArrayLike<number>,
  { temperature = 0.8, topK = scores.length, topP = 1, minP = 0, repetitionPenalty = 1 }: SamplingRules,
  seen: Iterable<number> = [],
): Distribution {
  expectScores(scores);
  const penalised = repetitionPenalty === 1 ? scores : withPenalty(scores, repetitionPenalty, seen);
  const best = largestIndex(penalised);
  if (temperature === 0) return { tokens: [best], probabilities: [1] };

  const highest = penalised[best]!;
  const weights = new Float64Array(scores.length);
  let kept: ArrayLike<number> = all(scores.length);
  for (let i = 0; i < weights.length; i++) weights[i] = Math.exp((penalised[i]! - highest) / temperature);
  if (topK < weights.length || topP < 1) kept = mostLikely(penalised, weights, topK, topP);
  // The most likely token has weight 1, so a weight is relative to that.
  if (minP > 0) kept = atLeast(minP, kept, weights);
  let total = 0;
  for (let i = 0; i < kept.length; i++) total += weights[kept[i]!]!;
  const probabilities = new Float64Array(kept.length);
  for (let i = 0; i < kept.length; i++) probabilities[i] = weights[kept[i]!]! / total;
  return { tokens: kept, probabilities };
}

/** Throw where nothing can be chosen: a token would be a plausible answer of a model that has none. */
export function expectScores(scores: ArrayLike<number>): void {
  let finite = false;
  for (let i = 0; i < scores.length; i++) {
    const score = scores[i]!;
    if (Number.isNaN(score) || score === Infinity)
      throw new RangeError(
        `generate: the score of token ${i} is ${score}; allowed are numbers, and -Infinity for what may not come; the weights have diverged or are damaged: use an earlier checkpoint.`,
      );
    finite ||= score !== -Infinity;
  }
  if (!finite)
    throw new RangeError("generate: the scores are all -Infinity; at least one must be a number; allow some token.");
}

/** The token at a uniform random number in [0, 1). */
export function drawToken({ tokens, probabilities }: Distribution, random: number): number {
  let rest = random;
  for (let i = 0; i < tokens.length; i++) {
    rest -= probabilities[i]!;
    if (rest < 0) return tokens[i]!;
  }
  // Rounding may leave a rest: then take the last token that can be drawn.
  let last = tokens.length - 1;
  while (last > 0 && !(probabilities[last]! > 0)) last--;
  return tokens[last]!;
}

/** The model's own distribution after some token: log softmax(scores), before any option. */
export interface LogProbabilities {
  /** log p of a token. */
  of(token: number): number;
  /** The most likely token, the first of several. */
  readonly best: number;
}

/** The sum is taken once, for any number of tokens. */
export function logProbabilities(scores: ArrayLike<number>): LogProbabilities {
  const best = largestIndex(scores);
  const highest = scores[best]!;
  let sum = 0;
  for (let i = 0; i < scores.length; i++) sum += Math.exp(scores[i]! - highest);
  const logSum = Math.log(sum);
  return { best, of: (token) => scores[token]! - highest - logSum };
}

/** log p of a token by the model itself. */
export const logProbability = (scores: ArrayLike<number>, token: number): number => logProbabilities(scores).of(token);

/** Differences of two such scores are finite. */
const MOST = Number.MAX_VALUE / 2;

function withPenalty(scores: ArrayLike<number>, penalty: number, seen: Iterable<number>): Float64Array {
  const changed = Float64Array.from(scores);
  for (const token of new Set(seen)) {
    const score = changed[token]! * (changed[token]! > 0 ? 1 / penalty : penalty);
    // What must not come stays so; what overflows is the largest there is.
    changed[token] = scores[token] === -Infinity ? score : Math.max(-MOST, Math.min(MOST, score));
  }
  return changed;
}

function largestIndex(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}

function all(count: number): Int32Array {
  const indices = new Int32Array(count);
  for (let i = 0; i < count; i++) indices[i] = i;
  return indices;
}

/** The tokens whose weight is at least `least`. */
function atLeast(least: number, tokens: ArrayLike<number>, weights: Float64Array): number[] {
  const kept: number[] = [];
  for (let i = 0; i < tokens.length; i++) if (weights[tokens[i]!]! >= least) kept.push(tokens[i]!);
  return kept;
}

/**
 * The k largest scores, or as many of the largest as make up the share p of their weights; largest first, equal ones
 * in order of their ids. It uses a heap, because sorting a vocabulary takes long beside a step of decoding.
 */
function mostLikely(scores: ArrayLike<number>, weights: Float64Array, k: number, p: number): number[] {
  const heap = all(weights.length);
  let size = heap.length;
  const before = (a: number, b: number): boolean => {
    const difference = scores[a]! - scores[b]!;
    return difference > 0 || (difference === 0 && a < b);
  };
  const sink = (start: number): void => {
    const moved = heap[start]!;
    let at = start;
    for (let child = 2 * at + 1; child < size; child = 2 * at + 1) {
      if (child + 1 < size && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, moved)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = moved;
  };
  for (let i = (size >> 1) - 1; i >= 0; i--) sink(i);

  const limit = Math.min(k, size);
  // Only the k most likely count for the share, so without top-k it can be computed before they are in order.
  const whole = limit === size ? weights.reduce((sum, weight) => sum + weight, 0) : undefined;
  const enough = whole === undefined ? Infinity : p * whole;
  const taken: number[] = [];
  let mass = 0;
  while (taken.length < limit && mass < enough) {
    const token = heap[0]!;
    taken.push(token);
    mass += weights[token]!;
    heap[0] = heap[--size]!;
    sink(0);
  }
  if (whole !== undefined || p === 1) return taken;
  let sum = 0;
  const end = taken.findIndex((token) => (sum += weights[token]!) >= p * mass);
  return taken.slice(0, end + 1);
}
