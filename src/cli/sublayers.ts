// Question: which connection does each sublayer of a model have?

import { sum } from "../basics/numbers.ts";
import { showCount } from "../basics/show.ts";
import { alignCells, drawTable } from "../basics/table.ts";
import { sizeOf } from "../graph/tensor.ts";
import { iterates } from "../connections/mhc-options.ts";
import { type ConnectionConfig, createConnection } from "../connections/table.ts";
import type { ModelConfig } from "../model/config.ts";
import { sublayerConnections, type SublayerRole, sublayerRole, sublayerRuns } from "../model/overrides.ts";
import { modelParameters } from "../model/language-model.ts";

export interface SublayerRow {
  readonly layer: number;
  readonly role: SublayerRole;
  /** The connection as the command line names it, with every option that is set. */
  readonly connection: string;
  /** What the state holds between sublayers. */
  readonly form: string;
  /** Whether the state is collapsed and expanded again before this sublayer, because the one before has another form. */
  readonly boundary: boolean;
  /** How many numbers its connection trains. */
  readonly parameters: number;
}

export function sublayerRows(model: ModelConfig): SublayerRow[] {
  const parameters = modelParameters(model);
  const runs = sublayerRuns(model);
  return sublayerConnections(model).map((config, index) => {
    const [layer, role] = [index >> 1, sublayerRole(index)];
    const prefix = `layers.${layer}.${role}.connection.`;
    return {
      layer,
      role,
      connection: connectionText(config),
      form: createConnection(config).form,
      boundary: index > 0 && runs[index] === index,
      parameters: parameters.all
        .filter(({ name }) => name.startsWith(prefix))
        .reduce((sum, { tensor }) => sum + sizeOf(tensor.shape), 0),
    };
  });
}

/** kind:option=value:option=value, without those that change nothing. */
export function connectionText(config: ConnectionConfig): string {
  const { kind, ...options } = config;
  const idle = kind === "mhc" && !iterates(config) ? "iterations" : undefined;
  return [
    kind,
    ...Object.entries(options).flatMap(([name, value]) => (name === idle ? [] : [`${name}=${value}`])),
  ].join(":");
}

/** One line when all sublayers are alike, else a table. */
export function describeSublayers(rows: readonly SublayerRow[], width?: number): string {
  const [first] = rows as [SublayerRow];
  if (rows.every(({ connection }) => connection === first.connection)) {
    const total = showCount(sum(rows.map(({ parameters }) => parameters)));
    return `every sublayer: ${first.connection}; its state is ${first.form}; ${total} parameters in all connections`;
  }
  const cells = rows.map(({ layer, role, connection, form, boundary, parameters }) => [
    String(layer),
    role,
    connection,
    boundary ? `${form} (anew)` : form,
    showCount(parameters),
  ]);
  const table = [["layer", "role", "connection", "state", "parameters"], ...cells];
  const lines = alignCells(table, (column) => (column === 4 ? "right" : "left"));
  return Math.max(...lines.map((line) => line.length)) > (width ?? Number.POSITIVE_INFINITY)
    ? drawTable(table, { width, labels: 2 })
    : lines.join("\n");
}
