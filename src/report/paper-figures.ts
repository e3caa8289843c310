// Question: what do the figures of the mHC paper show?
//
// Source: "mHC: Manifold-Constrained Hyper-Connections", arXiv 2512.24880, Figures 2, 3, 5, 6, 7 and 8, of its
// 27B model (n = 4, 30 layers, 60 sublayers, 50 000 steps) unless stated otherwise. Curves are read off the printed
// plots, so they are only as precise as a ruler; the matrices of Figure 8 are printed as numbers with two digits.
// They are drawn lightly behind this library's curves for orientation: models, data and lengths differ.

import type { GainPair } from "../stability/gains.ts";

/** A curve read off a plot, or values printed in the paper. */
export interface PaperCurve {
  readonly name: string;
  readonly kind: "residual" | "hc" | "mhc";
  readonly points: readonly (readonly [x: number, y: number])[];
}

/** Steps of the paper's 27B run. */
export const paperSteps = 50_000;
/** Sublayers of the paper's 27B model. */
export const paperSublayers = 60;

/** Figure 2a, read off: training loss of HC minus that of mHC, by step. */
export const figure2Gap: PaperCurve = {
  name: "HC minus mHC",
  kind: "hc",
  points: [
    [4000, 0],
    [11_000, 0],
    [12_000, 0.0005],
    [17_000, 0.006],
    [30_000, 0.0065],
    [50_000, 0.0052],
  ],
};

/** Figure 2b, read off: gradient norms by step; HC's is a noisy band of 0.10–0.18 after step 12 000; this is its middle. */
export const figure2Norms: readonly PaperCurve[] = [
  {
    name: "HC",
    kind: "hc",
    points: [
      [10_000, 0.095],
      [12_000, 0.1],
      [20_000, 0.14],
      [39_000, 0.14],
    ],
  },
  {
    name: "mHC",
    kind: "mhc",
    points: [
      [10_000, 0.11],
      [39_000, 0.078],
      [40_500, 0.045],
      [50_000, 0.045],
    ],
  },
];

/** Figure 5a, read off: training loss minus the baseline's, by step. */
export const figure5Gaps: readonly PaperCurve[] = [
  {
    name: "HC",
    kind: "hc",
    points: [
      [10_000, -0.036],
      [20_000, -0.0245],
      [50_000, -0.0165],
    ],
  },
  {
    name: "mHC",
    kind: "mhc",
    points: [
      [10_000, -0.036],
      [20_000, -0.031],
      [50_000, -0.021],
    ],
  },
];

/** Gains by sublayer, read off Figures 3 (HC) and 7 (mHC) where a value was legible; ends agree with Figure 8. */
export interface PaperGains {
  readonly single: Readonly<Record<keyof GainPair, PaperCurve["points"]>>;
  readonly composite: Readonly<Record<keyof GainPair, PaperCurve["points"]>>;
  /** Single gains are known only at these sublayers; between them the plot is not a line (for HC mostly 0.7 to 1.8). */
  readonly apart?: boolean;
}

export const figure3: PaperGains = {
  apart: true,
  single: {
    forward: [
      [1, 18.7],
      [60, 22.5],
    ],
    backward: [
      [1, 6.8],
      [60, 12],
    ],
  },
  composite: {
    forward: [
      [1, 18.7],
      [4, 28],
      [15, 9],
      [43, 4.7],
      [58, 15],
      [60, 509],
    ],
    backward: [
      [1, 259],
      [4, 24],
      [19, 100],
      [30, 400],
      [44, 2700],
      [52, 2700],
      [60, 12],
    ],
  },
};

export const figure7: PaperGains = {
  single: {
    forward: [
      [1, 1],
      [60, 1],
    ],
    backward: [],
  },
  composite: {
    forward: [
      [1, 1],
      [60, 1.01],
    ],
    backward: [
      [1, 1.11],
      [2, 1.07],
      [3, 1.23],
      [5, 1.18],
      [11, 1.55],
      [20, 1.65],
      [23, 1.65],
      [31, 1.5],
      [44, 1.28],
      [60, 1],
    ],
  },
};

/** Figure 6a, read off: loss minus the baseline's, by the FLOPs of training, of the 3B, 9B and 27B models. */
export const figure6Compute: PaperCurve = {
  name: "mHC, 3B, 9B and 27B",
  kind: "mhc",
  points: [
    [1.7e20, -0.029],
    [1.25e21, -0.023],
    [8e21, -0.021],
  ],
};

/** A token-averaged matrix of Figure 8, row-major; undefined if the paper's digits were not copied here. */
export interface PaperMatrix {
  readonly name: string;
  readonly matrix?: readonly number[];
  readonly rows?: readonly number[];
  readonly columns?: readonly number[];
}

/** Figure 8 as printed: sublayers 1, 30 and 60, the products of each half and of all. */
export const figure8: Readonly<Record<"hc" | "mhc", readonly PaperMatrix[]>> = {
  hc: [
    {
      name: "1",
      matrix: [
        5.43, 4.43, 4.43, 4.43, -4.07, -3.07, -4.07, -4.07, -3.95, -3.95, -2.95, -3.95, -4.22, -4.22, -4.22, -3.22,
      ],
      rows: [18.73, -15.29, -14.79, -15.88],
      columns: [-6.81, -6.81, -6.81, -6.81],
    },
    {
      name: "30",
      matrix: [0.94, -0.07, -0.05, 0.02, -0.08, 0.89, -0.07, -0.07, -0.1, -0.14, 0.81, -0.07, 0.06, 0.05, -0.03, 0.87],
    },
    { name: "60", rows: [-21.64, -20.22, 22.5, -21.59] },
    { name: "∏ 1…30", rows: [-1.35, 6.47, 0.03, -0.81] },
    { name: "∏ 31…60", rows: [-251.4, -243, 264.6, -254.8], columns: [-135.4, -133.4, -489, 273.3] },
    { name: "∏ 1…60", rows: [-475.3, -462.8, 509.1, -498.5], columns: [-259.2, -219.1, -228.2, -221] },
  ],
  mhc: [
    {
      name: "1",
      matrix: [0.67, 0.09, 0.03, 0.22, 0.26, 0.48, 0.26, 0, 0.03, 0.24, 0, 0.73, 0.03, 0.2, 0.69, 0.09],
      columns: [0.98, 1, 0.98, 1.04],
    },
    {
      name: "30",
      matrix: [0.96, 0.01, 0, 0.04, 0, 0.97, 0.03, 0, 0, 0, 1, 0, 0, 0.04, 0.01, 0.95],
      columns: [0.96, 1.02, 1.04, 0.99],
    },
    { name: "60", matrix: [0.92, 0.06, 0.01, 0.01, 0.05, 0.81, 0.01, 0.13, 0, 0.01, 0.97, 0.02, 0.03, 0.13, 0, 0.84] },
    {
      name: "∏ 1…30",
      matrix: [0.3, 0.25, 0.22, 0.24, 0.24, 0.25, 0.25, 0.26, 0.2, 0.24, 0.28, 0.28, 0.17, 0.32, 0.18, 0.34],
      columns: [0.9, 1.06, 0.93, 1.11],
    },
    {
      name: "∏ 31…60",
      matrix: [0.35, 0.28, 0.17, 0.2, 0.03, 0.62, 0.29, 0.07, 0.01, 0.17, 0.8, 0.02, 0.02, 0.42, 0.25, 0.31],
      columns: [0.41, 1.5, 1.5, 0.6],
    },
    {
      name: "∏ 1…60",
      matrix: [0.24, 0.26, 0.23, 0.27, 0.23, 0.25, 0.26, 0.27, 0.21, 0.25, 0.27, 0.28, 0.21, 0.27, 0.24, 0.29],
      rows: [1, 1.01, 1.01, 1],
      columns: [0.88, 1.03, 1, 1.11],
    },
  ],
};
