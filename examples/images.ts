// Generated images for the vision examples: 16 × 16 pixels, eight patterns, drawn from a seed.
//
// Place, size, period and phase are random, half of the images are negatives (their contrast is inverted), and noise is
// added. So the mean image of every class is grey, and no single pixel says anything: a linear model of the pixels
// cannot solve the task, but a model that compares pixels can.

export const SIDE = 16;
export const PIXELS: number = SIDE * SIDE;

export interface Images {
  /** [count, 256], row-major, around −1 to 1. */
  readonly pixels: Float32Array;
  /** [count], which of `patterns`. */
  readonly labels: Int32Array;
}

/** The random parts of a picture: a point, an extent, and two numbers for phases. */
interface Picture {
  readonly x: number;
  readonly y: number;
  readonly extent: number;
  readonly phaseX: number;
  readonly phaseY: number;
}

const wave = (at: number, { extent }: Picture, phase: number): number =>
  Math.sin((Math.PI * at) / (extent / 2) + phase);
const inside = (yes: boolean): number => (yes ? 1 : -0.3);

/** The value of each pattern at a point (u, v); −1 to 1. */
const patterns: Readonly<Record<string, (u: number, v: number, picture: Picture) => number>> = {
  rows: (_, v, picture) => wave(v, picture, picture.phaseY),
  columns: (u, _, picture) => wave(u, picture, picture.phaseX),
  diagonals: (u, v, picture) => wave((u + v) / Math.SQRT2, picture, picture.phaseX),
  checks: (u, v, picture) => wave(u, picture, picture.phaseX) * wave(v, picture, picture.phaseY),
  disc: (u, v, { x, y, extent }) => inside(Math.hypot(u - x, v - y) < extent),
  ring: (u, v, { x, y, extent }) => inside(Math.abs(Math.hypot(u - x, v - y) - extent) < 0.8),
  cross: (u, v, { x, y, extent }) => {
    const [across, down] = [Math.abs(u - x), Math.abs(v - y)];
    return inside(Math.min(across, down) < 0.9 && Math.max(across, down) < extent);
  },
  square: (u, v, { x, y, extent }) => inside(Math.abs(Math.max(Math.abs(u - x), Math.abs(v - y)) - extent) < 0.8),
};

export const CLASSES: number = Object.keys(patterns).length;

/** The same seed draws the same images. */
export function drawImages(count: number, seed: number): Images {
  const random = uniform(seed);
  const between = (low: number, high: number): number => low + (high - low) * random();
  const draw = Object.values(patterns);
  const pixels = new Float32Array(count * PIXELS);
  const labels = Int32Array.from({ length: count }, (_, image) => image % CLASSES);
  for (const [image, label] of labels.entries()) {
    const picture = {
      x: between(5, SIDE - 6),
      y: between(5, SIDE - 6),
      extent: between(3.2, 5),
      phaseX: between(0, 2 * Math.PI),
      phaseY: between(0, 2 * Math.PI),
    };
    const contrast = between(0.6, 1) * (random() < 0.5 ? -1 : 1);
    for (let at = 0; at < PIXELS; at++) {
      const noise = random() + random() + random() - 1.5; // near enough to a normal distribution, deviation ½
      pixels[image * PIXELS + at] = contrast * draw[label]!(at % SIDE, Math.floor(at / SIDE), picture) + 0.4 * noise;
    }
  }
  return { pixels, labels };
}

/** Uniform numbers in [0, 1): mulberry32 (Ettinger, public domain). */
export function uniform(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let bits = Math.imul(state ^ (state >>> 15), state | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return ((bits ^ (bits >>> 14)) >>> 0) / 4294967296;
  };
}
