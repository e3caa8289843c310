// Question: which examples does Python's `random` choose, given a seed?
//
// The Mersenne twister MT19937 (Matsumoto and Nishimura 1998), seeded by `init_by_array` as Python seeds it with a whole
// number, and `random.sample` of Python 3.11 and later. The harness draws its shots with one such stream for a task,
// which goes on from question to question.

const N = 624;
const M = 397;

/** A stream of 32-bit numbers, that of Python's `random.Random(seed)`. */
export class PythonRandom {
  readonly #state = new Uint32Array(N);
  #next = N;

  /** @param seed a whole number from 0 to 2^53 − 1 */
  constructor(seed: number) {
    if (!Number.isSafeInteger(seed) || seed < 0)
      throw new RangeError(`seed: ${seed} is given; it must be a whole number from 0 to 2^53 − 1.`);
    const high = Math.floor(seed / 2 ** 32);
    this.#seed(high > 0 ? [seed >>> 0, high] : [seed]);
  }

  #seed(key: readonly number[]): void {
    const state = this.#state;
    state[0] = 19_650_218;
    for (let i = 1; i < N; i++) state[i] = Math.imul(1_812_433_253, state[i - 1]! ^ (state[i - 1]! >>> 30)) + i;
    let [i, j] = [1, 0];
    const mixed = (factor: number): number => state[i]! ^ Math.imul(state[i - 1]! ^ (state[i - 1]! >>> 30), factor);
    const forward = (): void => {
      if (++i < N) return;
      state[0] = state[N - 1]!;
      i = 1;
    };
    for (let k = Math.max(N, key.length); k > 0; k--) {
      state[i] = mixed(1_664_525) + key[j]! + j;
      j = (j + 1) % key.length;
      forward();
    }
    for (let k = N - 1; k > 0; k--) {
      state[i] = mixed(1_566_083_941) - i;
      forward();
    }
    state[0] = 0x80000000;
  }

  #twist(): void {
    const state = this.#state;
    for (let k = 0; k < N; k++) {
      const y = (state[k]! & 0x80000000) | (state[(k + 1) % N]! & 0x7fffffff);
      state[k] = state[(k + M) % N]! ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.#next = 0;
  }

  /** getrandbits(bits), of 1 to 32 bits. */
  #bits(bits: number): number {
    if (this.#next === N) this.#twist();
    let y = this.#state[this.#next++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    y ^= y >>> 18;
    return y >>> (32 - bits);
  }

  #below(limit: number): number {
    const bits = 32 - Math.clz32(limit);
    for (;;) {
      const drawn = this.#bits(bits);
      if (drawn < limit) return drawn;
    }
  }

  /**
   * random.sample: `count` different members, in the order drawn.
   *
   * @throws RangeError when there are fewer
   */
  sample<T>(population: readonly T[], count: number): T[] {
    const size = population.length;
    if (count > size) throw new RangeError(`sample: ${count} of ${size} are asked for; ask for at most ${size}.`);
    const setSize = 21 + (count > 5 ? 4 ** Math.ceil(Math.log(count * 3) / Math.log(4)) : 0);
    if (size <= setSize) {
      const pool = [...population];
      return Array.from({ length: count }, (_, i) => {
        const j = this.#below(size - i);
        const chosen = pool[j]!;
        pool[j] = pool[size - i - 1]!;
        return chosen;
      });
    }
    const chosen = new Set<number>();
    while (chosen.size < count) chosen.add(this.#below(size));
    return [...chosen].map((index) => population[index]!);
  }
}
