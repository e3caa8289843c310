// birkhoff/models: the transformer language model and the text that it writes.

// Models: build the transformer language model of a size and a connection.
export type { ResidualConfig } from "./connections/residual.ts";
export type { HcConfig } from "./connections/hc.ts";
export type { MhcConfig } from "./connections/mhc-options.ts";
export type { HighwayConfig } from "./connections/highway.ts";
export type { DenseConfig } from "./connections/dense.ts";
export type { FracConfig } from "./connections/frac.ts";
export type { AttentionResidualsConfig } from "./connections/attention-residuals.ts";
export type { GatedResidualConfig } from "./connections/gated-residual.ts";
export type { Configuration } from "./connections/entry.ts";
export {
  type ConnectionConfig,
  type ConnectionKind,
  connectionKinds,
  createConnection,
  defaultConnection,
} from "./connections/table.ts";
export { type ModelConfig, type ModelSize, parseConnection, type Preset, presets } from "./model/config.ts";
export type { HeadMixingConfig } from "./model/head-mixing.ts";
export type { KeyValuesConfig } from "./model/key-values.ts";
export type { LatentAttentionConfig } from "./model/latent-attention.ts";
export { inactiveParameters, type MixtureConfig, type Routing } from "./model/mixture.ts";
export {
  isMixed,
  type MixedConnectionConfig,
  modelConnection,
  type ModelConnection,
  type Override,
  sublayerConnections,
  type SublayerRole,
} from "./model/overrides.ts";
export type { Attending, Heads } from "./model/attending.ts";
export { type Hidden, type LanguageModel, languageModel, type ObservedSublayer } from "./model/language-model.ts";

// Generation: let a model write.
export {
  type BatchSamplingOptions,
  createGenerator,
  type Generator,
  type SamplingOptions,
  type WrittenToken,
} from "./model/generate.ts";
export type { SamplingRules } from "./model/sampling.ts";
export { type TextCodec, type WritingOptions, type WrittenPiece, writeTexts } from "./model/write-texts.ts";
export { samplingRandom } from "./data/random.ts";
