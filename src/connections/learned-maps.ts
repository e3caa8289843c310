// Question: which of its three maps does a sublayer learn, and what are the others?
//
//   learned        H_pre = σ(·)    H_post = 2σ(·)    H_res = a residual map
//   not learned    H_pre = 1/n     H_post = 1        H_res = I
//
// A map that is not learned is a residual connection's: a sublayer that learns none of the three reads the mean of the
// streams and adds its result to each of them, so that the mean u of n streams goes on as u + F(u), while what the
// streams differ by passes unchanged. That is also what the ablation of HC means by a disabled map (mHC, arXiv 2512.24880,
// Table 1).

/** Which maps are learned, by name. */
export const learnedMapNames = ["all", "pre", "post", "res", "pre-post", "pre-res", "post-res", "none"] as const;

/** One of the names of `learnedMapNames`. */
export type LearnedMapsName = (typeof learnedMapNames)[number];

/** Which of the maps are learned. */
export interface LearnedMaps {
  /** H_pre, by which a sublayer reads the streams. */
  readonly pre: boolean;
  /** H_post, by which it writes to them. */
  readonly post: boolean;
  /** H_res, by which it mixes them. */
  readonly res: boolean;
}

/** The maps that a name means. */
export function learnedMaps(name: LearnedMapsName): LearnedMaps {
  const named = name.split("-");
  const has = (map: string): boolean => name === "all" || named.includes(map);
  return { pre: has("pre"), post: has("post"), res: has("res") };
}
