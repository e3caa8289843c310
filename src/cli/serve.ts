// birkhoff serve: show the live page of all runs under a folder, or answer requests with one of them (serve-api.ts).

import { randomBytes } from "node:crypto";
import { Command, InvalidArgumentError } from "commander";
import { prometheusText } from "../interop/prometheus.ts";
import { listen } from "../report/server/listen.ts";
import { isLoopback } from "../report/server/loopback.ts";
import { readPageFiles } from "../report/server/page-files.ts";
import { openBrowser } from "./browser.ts";
import { untilEnded } from "./interrupt.ts";
import {
  expectUnused,
  machineOptions,
  type MachineOptions,
  memoryOption,
  type MemoryOption,
  portNumber,
  positiveNumber,
  wholeNumber,
} from "./options.ts";
import { serveApi } from "./serve-api.ts";

interface ServeOptions extends MachineOptions, MemoryOption {
  readonly host: string;
  readonly port: number;
  readonly token?: string;
  readonly open?: boolean;
  readonly json?: boolean;
  readonly api?: boolean;
  readonly key?: string;
  readonly public?: boolean;
  readonly slots: number;
  readonly queue: number;
  readonly stretch: number;
  readonly pace: number;
  readonly deadline: number;
  readonly drain: number;
  readonly warmUp: boolean;
}

/** Options that only the API has, and those that only the page has. */
const apiOptions = [
  "key",
  "public",
  "slots",
  "queue",
  "stretch",
  "pace",
  "deadline",
  "drain",
  "warmUp",
  "runtime",
  "threads",
  "revectorise",
  "memory",
];
const pageOptions = ["token", "open"];

function stretch(text: string): number {
  const value = positiveNumber(text);
  if (value < 1) throw new InvalidArgumentError("It must be a number of at least 1.");
  return value;
}

/** What a secret must have at least. */
const LEAST_SECRET = 8;

export const serveCommand: Command = memoryOption(machineOptions(new Command("serve"), "all cores but one"), "--api")
  .description(
    "Show all runs under a folder on a page in the browser, live while they train; or answer OpenAI's API with a run.",
  )
  .argument("[runs]", "folder that holds run folders, at any depth", "runs")
  .option("--port <n>", "port to listen on; 0 for any free port", portNumber, 7333)
  .option("--host <address>", "address to listen on; any but this machine's own needs a token", "127.0.0.1")
  .option("--token <text>", "secret that a browser must send (generated when --host lets other machines in)")
  .option("--open", "open the page in the browser")
  .option("--json", "print the address as JSON")
  .option("--api", "no page: answer OpenAI's API with the last checkpoint of the run given")
  .option("--key <text>", "of --api: the key that clients must send (default: BIRKHOFF_API_KEY, or none)")
  .option("--public", "of --api: let other machines in, with --host and a key")
  .option("--slots <n>", "of --api: texts that are written at a time", wholeNumber(1, 256), 16)
  .option("--queue <n>", "of --api: texts that may wait; more are refused (429)", wholeNumber(0, 4096), 128)
  .option("--stretch <v>", "of --api: how many times as long prompts may make a token of another text", stretch, 1.5)
  .option(
    "--pace <ms>",
    "of --api: milliseconds between two pieces of a streamed answer at least: fewer pieces of more tokens cost less; 0 for one of each token",
    wholeNumber(0, 1000),
    0,
  )
  .option("--deadline <s>", "of --api: seconds that an answer may take", wholeNumber(1, 86_400), 600)
  .option("--drain <s>", "of --api: seconds to finish texts in when the server is stopped", wholeNumber(0, 3600), 30)
  .option("--no-warm-up", "of --api: be ready at once; the first answers are slower and less even")
  .addHelpText(
    "after",
    `
Examples:
  birkhoff serve
  birkhoff serve runs/sotu-nano-1 --open
  birkhoff serve /data/runs --host 0.0.0.0           for other machines too; prints an address with a token
  ssh -L 7333:localhost:7333 machine                 the safer way to a page on another machine
  birkhoff serve runs/sotu-nano-1/mhc --api          OpenAI's API at http://127.0.0.1:7333/v1

Prometheus reads /metrics. Nothing outside the folder is read. Tags are kept in tags.json in the run's folder.`,
  )
  .action(async (root: string, options: ServeOptions, command: Command) => {
    expectUnused(command, options.api ? pageOptions : apiOptions, `${options.api ? "with" : "without"} --api`);
    if (options.api) await serveApi(root, { ...options, key: keyOf(options) });
    else await servePage(root, options);
  });

async function servePage(root: string, { host, port, token: given, open, json }: ServeOptions): Promise<void> {
  if (given !== undefined && given.length < LEAST_SECRET)
    throw new Error(`--token needs at least ${LEAST_SECRET} characters.`);
  const token = given ?? (isLoopback(host) ? undefined : randomBytes(16).toString("hex"));
  const server = await listen({ root, host, port, token, page: readPageFiles(), metricsText: prometheusText });
  if (json) process.stdout.write(`${JSON.stringify({ url: server.url, port: server.port })}\n`);
  else process.stdout.write(`Runs under ${root}: ${server.url}\nCtrl-C ends the page.\n`);
  if (open) openBrowser(server.url);
  await untilEnded();
  await server.close();
}

/** The key of the API; other machines come in only with one, and with a flag that says so. */
function keyOf({ key: given, host, public: wanted }: ServeOptions): string | undefined {
  // A variable that is set to nothing counts as none.
  const key = given ?? (process.env["BIRKHOFF_API_KEY"] || undefined);
  if (key !== undefined && key.length < LEAST_SECRET)
    throw new Error(
      `${given === undefined ? "BIRKHOFF_API_KEY" : "--key"} has ${key.length} characters; give a key of at least ${LEAST_SECRET}.`,
    );
  if (isLoopback(host)) {
    if (wanted)
      throw new Error(
        `--public: --host ${host} is reached from this machine only; add another --host, such as 0.0.0.0, or leave --public out.`,
      );
    return key;
  }
  if (!wanted)
    throw new Error(
      `--host ${host}: this lets other machines use the model; add --public and --key to say that they may, or leave --host out.`,
    );
  if (key === undefined)
    throw new Error(`--host ${host}: other machines need a key; give one with --key or in BIRKHOFF_API_KEY.`);
  return key;
}
