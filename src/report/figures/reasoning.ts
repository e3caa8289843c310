// Question: up to which difficulty do models answer, with each connection?
//
// A panel for each task. The points are means over seeds, the bars their 95 % intervals. Exact match has a scale from 0 to
// 100 everywhere; losses have one for each task.

import { estimate } from "../../basics/interval.ts";
import { generatedTasks } from "../../data/generated/table.ts";
import type { RunData } from "../../runs/run-data.ts";
import { reasoningMeasures, type ReasoningMeasure, reasoningSeries, sharedTasks } from "../reasoning-tables.ts";
import { type Figure, type Part, seriesEncoding, wholeSpec } from "./figure.ts";
import { digits } from "./series.ts";

const COLUMNS = 3;
const PANEL = { width: 235, height: 150 } as const;

/** Exact match and loss by difficulty; none where no runs have been asked. */
export function reasoningFigures(runs: readonly RunData[]): Figure[] {
  const series = reasoningSeries(runs);
  const tasks = sharedTasks(series);
  if (tasks.length === 0) return [];
  const figure = (name: string, title: string, measure: ReasoningMeasure, scale: Part): Figure => {
    const panels = tasks.map((task, index) => {
      const values = series.flatMap(({ label, runs: members }) => {
        const levels = members[0]!
          .reasoning!.rows.filter((row) => row.task === task)
          .map(({ difficulty }) => difficulty);
        return levels.flatMap((difficulty) => {
          const found = members.flatMap(
            ({ reasoning }) => reasoning!.rows.find((row) => row.task === task && row.difficulty === difficulty) ?? [],
          );
          if (found.length === 0) return [];
          const { mean, half } = estimate(found.map(measure.of));
          const [least, most] = measure.digits === 1 ? [0, 100] : [0, Infinity];
          return {
            difficulty,
            value: digits(mean),
            ...(half === undefined
              ? {}
              : { low: digits(Math.max(least, mean - half)), high: digits(Math.min(most, mean + half)) }),
            series: label,
          };
        });
      });
      const counts = Object.hasOwn(generatedTasks, task) ? generatedTasks[task]!.difficulty.counts : "difficulty";
      const x = { field: "difficulty", type: "ordinal", title: counts, axis: { labelAngle: 0 } };
      const offset = { xOffset: { field: "series", type: "nominal", scale: { paddingOuter: 0.9 } } };
      const { color } = seriesEncoding(series);
      // The panels of a row share the name of their axis.
      const y = { type: "quantitative", title: index % COLUMNS === 0 ? measure.title : null, ...scale };
      return {
        title: task.replaceAll("_", " "),
        ...PANEL,
        data: { values },
        encoding: { x, ...offset, color: { ...(color as object), legend: { title: null, symbolType: "circle" } } },
        layer: [
          {
            transform: [{ filter: "isValid(datum.low)" }],
            mark: { type: "rule", strokeWidth: 1.5 },
            encoding: { y: { field: "low", ...y }, y2: { field: "high" } },
          },
          {
            mark: { type: "point", filled: true, size: 45, opacity: 1, tooltip: { content: "data" } },
            encoding: { y: { field: "value", ...y } },
          },
        ],
      };
    });
    return {
      name,
      title,
      caption: `${measure.title}, by task and difficulty, of held-out questions: means over seeds, and their 95 % intervals where there are several.`,
      spec: wholeSpec({ concat: panels, columns: COLUMNS, spacing: 24 }),
    };
  };
  const [match, loss] = reasoningMeasures as [ReasoningMeasure, ReasoningMeasure];
  return [
    figure("reasoning-match", "Exact match by difficulty", match, {
      scale: { domain: [0, 100] },
      axis: { tickCount: 5 },
    }),
    figure("reasoning-loss", "Loss of answers by difficulty", loss, { scale: { zero: true }, axis: { tickCount: 5 } }),
  ];
}
