// birkhoff/conventions: whose formulas exactly, as data.

// Conventions: know whose formulas a connection follows, and bring its weights from one convention to another.
export { type ConventionName, conventionNames, conventions } from "./connections/conventions/table.ts";
export type { Convention, ConventionFacts, HcConvention, MhcConvention } from "./connections/conventions/convention.ts";
export {
  type Conversion,
  conversion,
  type ConversionDifference,
  conversionDifference,
  ConversionError,
  type ConversionSizes,
} from "./connections/conventions/convert.ts";
export {
  type ConnectionWeights,
  type Evaluated,
  evaluateConnection,
  type Probe,
  type Weights,
} from "./connections/conventions/evaluate.ts";
