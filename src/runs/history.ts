// Question: what has a run recorded so far?
//
// The same records stand in the folder's files and in memory, those of before a resume included, and the alarms
// have seen each of them. A rollback takes the later ones back in both.

import { given } from "../basics/given.ts";
import { type Excursion, type Observation, watchAlarms } from "../stability/alarms.ts";
import type { AlarmPlan } from "../training/alarms.ts";
import type { RollbackEvent } from "../training/reactions.ts";
import type { EventRecord, GainRecord, MetricRecord } from "../training/records.ts";
import { outlives } from "./go-back.ts";
import { readEvents, readGains, readMetrics, type RunFolder } from "./run-folder.ts";

/** All records of a run. */
export interface History {
  readonly metrics: readonly MetricRecord[];
  readonly gains: readonly GainRecord[];
  /** Alarms, with all rollbacks. */
  readonly events: readonly EventRecord[];
  /**
   * Record a step; returns the rules whose bounds it has just passed.
   * @param options `whole` is false for a record that is completed later
   */
  add(record: MetricRecord, gain: GainRecord | undefined, options?: { readonly whole?: boolean }): readonly Excursion[];
  /** Put a record in the place of the last one, which was not whole. */
  complete(record: MetricRecord): void;
  note(event: EventRecord): void;
  /** Give up the steps after that of the event's rollback, and note the event. */
  rollBack(event: RollbackEvent): void;
}

/** Read what the folder holds; what is recorded from here on goes to the folder first. */
export function openHistory(folder: RunFolder, { bounds, subject }: AlarmPlan): History {
  const metrics = readMetrics(folder.folder);
  const gains = readGains(folder.folder);
  let events: readonly EventRecord[] = readEvents(folder.folder);
  const watchAll = (): ReturnType<typeof watchAlarms> => {
    const watch = watchAlarms(bounds, subject);
    const measured = new Map(gains.map((record) => [record.step, record]));
    for (const record of metrics) watch.see(observation(record, measured.get(record.step)));
    return watch;
  };
  let watch = watchAll();
  return {
    metrics,
    gains,
    get events() {
      return events;
    },
    add(record, gain, { whole = true } = {}) {
      if (gain) {
        folder.appendGains(gain);
        gains.push(gain);
      }
      folder.appendMetrics(record, { whole });
      metrics.push(record);
      return watch.see(observation(record, gain));
    },
    complete(record) {
      folder.completeMetrics(record);
      metrics[metrics.length - 1] = record;
    },
    note(event) {
      folder.appendEvent(event);
      events = [...events, event];
    },
    rollBack(event) {
      folder.rollBack(event);
      const { step } = event.rollback;
      for (const records of [metrics, gains]) {
        const later = records.findIndex((record) => record.step > step);
        if (later >= 0) records.length = later;
      }
      events = [...events.filter((past) => outlives(past, step)), event];
      watch = watchAll();
    },
  };
}

const observation = (record: MetricRecord, instruments: GainRecord | undefined): Observation => ({
  ...record,
  ...given({ instruments }),
});
