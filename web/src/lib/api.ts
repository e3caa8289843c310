// Question: how does the page request data from its server?
//
// The messages are defined in src/report/server/messages.ts.

import type {
  BestValidation,
  ControlRequest,
  Curves,
  ExpertLoads,
  GainMaps,
  Mixing,
  RunCard,
  RunTexts,
} from "../../../src/report/server/messages.ts";

/** Points of a curve: about two for each pixel of a chart. */
const POINTS = 900;

export const getRuns = (): Promise<{ root: string; cards: RunCard[] }> => get("/api/runs", {});
/** @param steps the first and the last step (default: all steps) */
export const getCurves = (
  run: string,
  steps?: readonly [from: number, to: number],
  points: number = POINTS,
): Promise<Curves> =>
  get("/api/curves", {
    run,
    points: String(points),
    ...(steps ? { from: String(steps[0]), to: String(steps[1]) } : {}),
  });
export const getGains = (run: string): Promise<GainMaps> => get("/api/gains", { run });
export const getMixing = (run: string, step: number): Promise<Mixing> =>
  get("/api/mixing", { run, step: String(step) });
export const getTexts = (run: string): Promise<RunTexts> => get("/api/texts", { run });
export const getExperts = (run: string): Promise<ExpertLoads> => get("/api/experts", { run });
export const getBests = (): Promise<Readonly<Record<string, BestValidation>>> => get("/api/bests", {});
export const setTags = (run: string, tags: readonly string[]): Promise<{ tags: string[] }> =>
  post("/api/tags", { run, tags });
export const control = (request: ControlRequest): Promise<unknown> => post("/api/control", request);

async function get<T>(path: string, query: Record<string, string>): Promise<T> {
  return answerOf(await fetch(`${path}?${new URLSearchParams(query)}`));
}

async function post<T>(path: string, body: unknown): Promise<T> {
  const headers = { "Content-Type": "application/json" };
  return answerOf(await fetch(path, { method: "POST", headers, body: JSON.stringify(body) }));
}

async function answerOf<T>(response: Response): Promise<T> {
  if (response.ok) return response.json() as Promise<T>;
  const text = await response.text();
  let message = text;
  try {
    message = (JSON.parse(text) as { error: string }).error;
  } catch {
    // It is not JSON, so the text itself is the message.
  }
  throw new Error(message || response.statusText);
}
