// birkhoff serve: show the live page of all runs under a folder.

import { randomBytes } from "node:crypto";
import { Command } from "commander";
import { prometheusText } from "../interop/prometheus.ts";
import { listen } from "../report/server/listen.ts";
import { isLoopback } from "../report/server/loopback.ts";
import { readPageFiles } from "../report/server/page-files.ts";
import { openBrowser } from "./browser.ts";
import { untilEnded } from "./interrupt.ts";
import { portNumber } from "./options.ts";

interface ServeOptions {
  readonly host: string;
  readonly port: number;
  readonly token?: string;
  readonly open?: boolean;
  readonly json?: boolean;
}

export const serveCommand: Command = new Command("serve")
  .description("Show all runs under a folder on a page in the browser, live while they train.")
  .argument("[runs]", "folder that holds run folders, at any depth", "runs")
  .option("--port <n>", "port of the page; 0 for any free port", portNumber, 7333)
  .option("--host <address>", "address to listen on; any but this machine's own needs a token", "127.0.0.1")
  .option("--token <text>", "secret that a browser must send (generated when --host lets other machines in)")
  .option("--open", "open the page in the browser")
  .option("--json", "print the address as JSON")
  .addHelpText(
    "after",
    `
Examples:
  birkhoff serve
  birkhoff serve runs/sotu-nano-1 --open
  birkhoff serve /data/runs --host 0.0.0.0           for other machines too; prints an address with a token
  ssh -L 7333:localhost:7333 machine                 the safer way to a page on another machine

Prometheus reads /metrics. Nothing outside the folder is read. Tags are kept in tags.json in the run's folder.`,
  )
  .action(async (root: string, { host, port, token: given, open, json }: ServeOptions) => {
    if (given !== undefined && given.length < 8) throw new Error("--token needs at least 8 characters.");
    const token = given ?? (isLoopback(host) ? undefined : randomBytes(16).toString("hex"));
    const server = await listen({ root, host, port, token, page: readPageFiles(), metricsText: prometheusText });
    if (json) process.stdout.write(`${JSON.stringify({ url: server.url, port: server.port })}\n`);
    else process.stdout.write(`Runs under ${root}: ${server.url}\nCtrl-C ends the page.\n`);
    if (open) openBrowser(server.url);
    await untilEnded();
    await server.close();
  });
