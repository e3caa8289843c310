// Question: which schedules of pipelines are there?

import { dualPipe } from "./dualpipe.ts";
import { gpipe } from "./gpipe.ts";
import { interleaved } from "./interleaved.ts";
import { oneForwardOneBackward } from "./one-f-one-b.ts";
import type { PipelineSchedule } from "./orders.ts";
import { zeroBubble } from "./zero-bubble.ts";

/** All schedules by name: their titles, sources, copies of the parameters, and orders. */
export const schedules: {
  readonly gpipe: PipelineSchedule;
  readonly "1f1b": PipelineSchedule;
  readonly interleaved: PipelineSchedule;
  readonly "zb-h1": PipelineSchedule;
  readonly dualpipe: PipelineSchedule;
} = { gpipe, "1f1b": oneForwardOneBackward, interleaved, "zb-h1": zeroBubble, dualpipe: dualPipe };

/** A pipeline schedule, by the name the command line gives it. */
export type ScheduleName = keyof typeof schedules;

/** Names of all schedules. */
export const scheduleNames = Object.keys(schedules) as ScheduleName[];
