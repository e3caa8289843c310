// Question: which requests does the live page's server answer?
//
//   GET  /                       the page and its files
//   GET  /api/runs               cards of all runs
//   GET  /api/curves?run=&points=&from=&to=  curves, downsampled; of all steps or those from one to another
//   GET  /api/gains?run=         layer × step maps of gains
//   GET  /api/mixing?run=&step=  H_res of every sublayer at a step
//   GET  /api/experts?run=       load of every expert over the steps
//   GET  /api/bests              the best validation of every run
//   GET  /api/texts?run=         samples, alarms, configuration
//   GET  /api/live?run=&run=&from=  events: records as they are written, cards as they change
//   GET  /metrics                the ends of all runs' records for Prometheus
//   POST /api/tags               {run, tags}
//   POST /api/control            {action, run}: stop or checkpoint one run that trains beside the server, or all

import { type Context, Hono } from "hono";
import { streamSSE } from "hono/streaming";
import { showMany, showValue } from "../../basics/show.ts";
import type { RunData } from "../../runs/run-data.ts";
import { createBests } from "./bests.ts";
import { createCards } from "./cards.ts";
import { guard, type GuardOptions } from "./guard.ts";
import { createLiveFeed, MOST_STREAMS } from "./live-events.ts";
import type { ControlAction } from "./messages.ts";
import type { PageFiles } from "./page-files.ts";
import { createPlaces } from "./places.ts";
import { createRunRecords, parseCursors, type RunRecords } from "./records.ts";
import { createScraper } from "./scrape.ts";
import { tagsOf, writeTags } from "./tags.ts";
import { readTexts } from "./texts.ts";

export interface ServerOptions extends GuardOptions {
  /** Where the run folders are. */
  readonly root: string;
  readonly page: PageFiles;
  /** Formats the ends of all runs' records for /metrics. Without it there is no such route. */
  readonly metricsText?: (runs: readonly RunData[]) => string;
  /** The runs that train beside the server, and how to reach them. */
  readonly control?: {
    /** Their folders, links resolved. */
    readonly folders: readonly string[];
    /** @param folder the folder of one of them (default: all) */
    send(action: ControlAction, folder?: string): void;
  };
}

const MOST_POINTS = 2000;
const MOST_SELECTED = 24;
/** The number of runs whose records stay in memory. */
const MOST_RECORDS = 32;
const MOST_COLUMNS = 400;
const LONGEST_BODY = 1 << 14;

/** @throws Error when the root is not a folder */
export function createRoutes({ root, page, control, metricsText, ...access }: ServerOptions): Hono {
  const places = createPlaces(root);
  const cards = createCards(places, new Set(control?.folders));
  const feed = createLiveFeed(places, cards);
  const records = recordsOf((run, file) => places.open(run, file));
  const app = new Hono();
  app.use(guard(access));
  app.use("/api/*", async (context, next) => {
    context.header("Cache-Control", "no-store");
    await next();
  });

  app.get("/api/runs", (context) => context.json({ root: places.root, cards: cards.list() }));

  /** Answers for the run that a request names, or says that it does not exist. */
  const ofRun = (answer: (context: Context, run: string) => Response): ((context: Context) => Response) => {
    return (context) => {
      const run = context.req.query("run") ?? "";
      return places.folder(run) === undefined ? context.json(noRun(run), 404) : answer(context, run);
    };
  };
  app.get(
    "/api/curves",
    ofRun((context, run) => {
      const { points, from = "0", to = "Infinity" } = context.req.query();
      const wanted = Math.min(MOST_POINTS, Math.max(16, Math.trunc(Number(points)) || MOST_POINTS));
      const [first, last] = [Number(from), Number(to)];
      if (!(first <= last)) {
        const error = `from is ${showValue(from)} and to is ${showValue(to)}; they must be steps, from no later than to.`;
        return context.json({ error }, 400);
      }
      return context.json(records(run).curves(run, wanted, [first, last]));
    }),
  );
  app.get(
    "/api/gains",
    ofRun((context, run) => context.json(records(run).gainMaps(run, MOST_COLUMNS))),
  );
  app.get(
    "/api/mixing",
    ofRun((context, run) => {
      const { step = "" } = context.req.query();
      const where = "/api/gains lists the steps of a run as mixingSteps.";
      if (!/^\d{1,15}$/.test(step)) {
        const given = step === "" ? "step is missing" : `step is ${showValue(step)}`;
        return context.json({ error: `${given}; it must be the number of a step. ${where}` }, 400);
      }
      const mixing = records(run).mixing(Number(step));
      return mixing
        ? context.json(mixing)
        : context.json({ error: `No mixing matrices were recorded at step ${step}; ${where}` }, 404);
    }),
  );
  app.get(
    "/api/experts",
    ofRun((context, run) => context.json(records(run).expertLoads(run))),
  );
  const bests = createBests(places);
  app.get("/api/bests", (context) => context.json(bests()));
  app.get(
    "/api/texts",
    ofRun((context, run) => context.json(readTexts(places, run))),
  );

  app.get("/api/live", (context) => {
    const runs = context.req.queries("run") ?? [];
    if (runs.length > MOST_SELECTED) {
      const error = `${runs.length} runs are asked for; at most ${MOST_SELECTED} are followed at a time. Ask for fewer.`;
      return context.json({ error }, 400);
    }
    const cursors = parseCursors(context.req.header("last-event-id") || context.req.query("from") || "", runs.length);
    if (runs.length > 0 && !cursors) {
      const error = `from must hold the position of each of the ${showMany(runs.length, "run")}, as /api/curves gives it in cursor.`;
      return context.json({ error }, 400);
    }
    if (feed.full) {
      const error = `${MOST_STREAMS} pages are open already, the most at a time; close some of them.`;
      return context.json({ error }, 503, { "Retry-After": "5" });
    }
    // A request for the head alone has no client that could leave: it gets no stream.
    if (context.req.method === "HEAD") return context.body(null, 200, { "Content-Type": "text/event-stream" });
    const followed = runs.map((run, index) => ({ run, from: cursors![index]! }));
    return streamSSE(context, (stream) => feed.send(stream, followed));
  });

  app.post("/api/tags", async (context) => {
    const { run, tags } = await bodyOf(context);
    const wanted = tagsOf(tags);
    if (!wanted) return context.json({ error: "tags must be at most 20 texts of 1 to 40 characters." }, 400);
    const written = typeof run === "string" && writeTags(places, run, wanted);
    return written ? context.json({ tags: wanted }) : context.json(noRun(run), 404);
  });
  app.post("/api/control", async (context) => {
    const { action, run } = await bodyOf(context);
    if (action !== "stop" && action !== "checkpoint")
      return context.json({ error: "action must be stop or checkpoint." }, 400);
    if (!control) return context.json({ error: "No run trains beside this server." }, 409);
    if (run === undefined) control.send(action);
    else {
      const folder = typeof run === "string" ? places.folder(run) : undefined;
      if (folder === undefined) return context.json(noRun(run), 404);
      if (!control.folders.includes(folder)) return context.json({ error: "That run trains elsewhere." }, 409);
      control.send(action, folder);
    }
    return context.json({ action }, 202);
  });

  if (metricsText) {
    const scrape = createScraper(places);
    app.get("/metrics", (context) =>
      context.body(metricsText(scrape()), 200, { "Content-Type": "text/plain; version=0.0.4; charset=utf-8" }),
    );
  }

  app.get("*", (context) => {
    const file = page.get(context.req.path === "/" ? "/index.html" : context.req.path);
    if (!file) return context.text("There is nothing here.\n", 404);
    // Names of built assets change with their content; the page itself is always requested again.
    const kept = context.req.path.startsWith("/assets/")
      ? "private, max-age=31536000, immutable"
      : "private, max-age=3600";
    const cache = file.type.startsWith("text/html") ? "no-cache" : kept;
    return context.body(file.bytes, 200, { "Content-Type": file.type, "Cache-Control": cache });
  });
  app.onError((error, context) => context.json({ error: error.message }, 500));
  return app;
}

const noRun = (run: unknown): { readonly error: string } => ({
  error: `There is no run ${showValue(run ?? "")}; /api/runs lists those that there are.`,
});

/** The records of the most recently requested runs. */
function recordsOf(
  open: (run: string, file: string) => ReturnType<ReturnType<typeof createPlaces>["open"]>,
): (run: string) => RunRecords {
  const kept = new Map<string, RunRecords>();
  return (run) => {
    const records = kept.get(run) ?? createRunRecords((file) => open(run, file));
    kept.delete(run);
    kept.set(run, records);
    if (kept.size > MOST_RECORDS) kept.delete(kept.keys().next().value!);
    return records;
  };
}

/** The fields of a JSON body; none if it is too long or not an object. */
async function bodyOf(context: Context): Promise<Record<string, unknown>> {
  if (Number(context.req.header("content-length") ?? Infinity) > LONGEST_BODY) return {};
  try {
    const value: unknown = await context.req.json();
    return value !== null && typeof value === "object" ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
