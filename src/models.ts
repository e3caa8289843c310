// birkhoff/models: the transformer language model and the text that it writes.

// Models: build the transformer language model of a size and a connection.
export {
  type AttentionResidualsConfig,
  type ConnectionConfig,
  type ConnectionKind,
  connectionKinds,
  createConnection,
  defaultConnection,
  type DenseConfig,
  type FracConfig,
  type GatedResidualConfig,
  type HighwayConfig,
  type HyperConfig,
  isMixed,
  type ManifoldConfig,
  type MixedConnectionConfig,
  modelConnection,
  type ModelConfig,
  type ModelSize,
  type Preset,
  parseConnection,
  presets,
  type ResidualConfig,
  sublayerConnections,
} from "./model/config.ts";
export type { LatentAttentionConfig } from "./model/latent-attention.ts";
export { inactiveParameters, type MixtureConfig, type Routing } from "./model/mixture.ts";
export type { Override, SublayerRole } from "./model/overrides.ts";
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
