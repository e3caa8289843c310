// One expert and several, and a step that is left out.

import { balanceBias } from "../../../src/ops/balance-bias.ts";
import type { OperationCase } from "../case.ts";

function balanceCase(experts: number, norm: number): OperationCase {
  return {
    name: `balanceBias of ${experts} experts, gradient norm ${norm}`,
    inputs: {
      bias: { shape: [experts] },
      // Expert 0 has the mean load exactly, where its bias stays.
      load: { shape: [experts], values: (_random, i) => 8 + (i % 3 === 1 ? 1 : i % 3 === 2 ? -1 : 0) },
      clip: { shape: [2], values: (_random, i) => (i === 0 ? norm : 1) },
    },
    constant: ["bias", "load", "clip"],
    build: ({ bias, load, clip }) => balanceBias(bias!, load!, clip!, 0.125),
  };
}

export const balanceBiasCases: readonly OperationCase[] = [
  balanceCase(1, 3),
  balanceCase(9, 3),
  balanceCase(9, Infinity),
];
