// Question: which commands are there, and how is only the asked one loaded?
//
// A command's module brings the compiler, the schemas and much else with it, which takes longer than Node itself. So
// this table repeats the line that `birkhoff --help` shows of each command, and the module is loaded only when its
// command is asked for. A test holds the table to the commands.

import { Command } from "commander";

export interface CommandEntry {
  readonly name: string;
  /** What follows the name, as in the first line of the command's own help. */
  readonly usage: string;
  /** The command's description. */
  readonly summary: string;
  load(): Promise<Command>;
}

/** In the order of the help. */
export const commandTable: readonly CommandEntry[] = [
  {
    name: "compare",
    usage: "[options]",
    summary: "Train models that differ only in the residual connection, with the same seeds, data and steps.",
    load: async () => (await import("./compare.ts")).compareCommand,
  },
  {
    name: "train",
    usage: "[options]",
    summary: "Train one model on files of text, documents or token ids, a folder of them or standard input.",
    load: async () => (await import("./train.ts")).trainCommand,
  },
  {
    name: "launch",
    usage: "[options] <command...>",
    summary: "Train with several processes by MPI, and end them all when one of them is killed or hangs.",
    load: async () => (await import("./launch.ts")).launchCommand,
  },
  {
    name: "sweep",
    usage: "[options] <file>",
    summary: "Train every combination of some settings, and measure the learning rate's optimum and tolerance.",
    load: async () => (await import("./sweep.ts")).sweepCommand,
  },
  {
    name: "sample",
    usage: "[options] <run>",
    summary: "Stream text from a run's last checkpoint.",
    load: async () => (await import("./sample.ts")).sampleCommand,
  },
  {
    name: "eval",
    usage: "[options] <runs...>",
    summary: "Ask trained models the questions of benchmarks, by the rules of lm-evaluation-harness, and compare them.",
    load: async () => (await import("./eval.ts")).evalCommand,
  },
  {
    name: "inspect",
    usage: "[options] <run>",
    summary:
      "Show a run: its configuration, its progress, and what the instruments measure on its last checkpoint (gains, errors, saturation, spectra, streams). Or show the connections of a safetensors file or of a model on the hub.",
    load: async () => (await import("./inspect.ts")).inspectCommand,
  },
  {
    name: "intervene",
    usage: "[options] <run> [interventions...]",
    summary: "Change the mixing maps of a trained model, without training it, and measure the validation loss.",
    load: async () => (await import("./intervene.ts")).interveneCommand,
  },
  {
    name: "study",
    usage: "[options] <study> [runs...]",
    summary:
      "Answer a question by measurement: of trained runs beside each other, or by an experiment that trains its own and writes a page.",
    load: async () => (await import("./study.ts")).studyCommand,
  },
  {
    name: "convert",
    usage: "[options] <in> <out>",
    summary:
      "Rewrite the connections of a checkpoint in another convention; all other tensors stay as they are. Or turn a trained residual run into a run with streams that computes the same and can be trained further.",
    load: async () => (await import("./convert.ts")).convertCommand,
  },
  {
    name: "merge",
    usage: "[options] <run>",
    summary: "Write a checkpoint of several processes as one process writes it: one file of weights, one of moments.",
    load: async () => (await import("./merge.ts")).mergeCommand,
  },
  {
    name: "export",
    usage: "[options] <run>",
    summary: "Write a run's model or records as files that other programs read.",
    load: async () => (await import("./export.ts")).exportCommand,
  },
  {
    name: "import",
    usage: "[options] <folder> <run>",
    summary:
      "Make a run from a model in Hugging Face's format: one that birkhoff export wrote, or a checkpoint like Llama's or DeepSeek-V3's. The run can write, train and be inspected like any other.",
    load: async () => (await import("./import.ts")).importCommand,
  },
  {
    name: "report",
    usage: "[options] <runs...>",
    summary: "Write one HTML file about runs: tables, figures, samples and the commands to train them again.",
    load: async () => (await import("./report.ts")).reportCommand,
  },
  {
    name: "lint",
    usage: "[options] <file>",
    summary: "Look for transposed, mis-sliced, saturated or broken connections in a checkpoint, and show the evidence.",
    load: async () => (await import("./lint.ts")).lintCommand,
  },
  {
    name: "plan",
    usage: "[options]",
    summary:
      "Plan a training run: parameters, operations, memory, traffic, recomputation, time and cost, with mHC and without.",
    load: async () => (await import("./plan.ts")).planCommand,
  },
  {
    name: "schedule",
    usage: "[options] [name]",
    summary:
      "Simulate pipeline schedules: idle time, memory and exposed communication, drawn as timelines. Without a name, it shows all schedules side by side, and mHC beside the residual connection in DualPipe.",
    load: async () => (await import("./schedule.ts")).scheduleCommand,
  },
  {
    name: "serve",
    usage: "[options] [runs]",
    summary:
      "Show all runs under a folder on a page in the browser, live while they train; or answer OpenAI's API with a run.",
    load: async () => (await import("./serve.ts")).serveCommand,
  },
  {
    name: "doctor",
    usage: "[options]",
    summary: "Say what this machine offers for training, and what to do about what is missing.",
    load: async () => (await import("./doctor.ts")).doctorCommand,
  },
  {
    name: "bench",
    usage: "[options] [prefix...]",
    summary: "Measure speed and memory against PyTorch, numpy and jax-js, interleaved in one run.",
    load: async () => (await import("./bench.ts")).benchCommand,
  },
  {
    name: "completion",
    usage: "[options] <shell>",
    summary: "Print a script that completes commands, options and their values in bash, zsh or fish.",
    load: async () => (await import("./completion.ts")).completionCommand(loadAll),
  },
];

const loadAll = (): Promise<Command[]> => Promise.all(commandTable.map(({ load }) => load()));

/** The command that a command line asks for: `birkhoff train …` or `birkhoff help train`. */
function askedFor(args: readonly string[]): CommandEntry | undefined {
  const [first, second] = args.filter((arg) => !arg.startsWith("-"));
  const name = first === "help" ? second : first;
  return commandTable.find((entry) => entry.name === name);
}

/** Arguments that no command and no suggestion is needed for. */
const ofProgram: ReadonlySet<string> = new Set(["-V", "--version", "-h", "--help", "--debug", "help"]);

/**
 * The program with the command that these arguments ask for; of the other commands it has the names and summaries.
 *
 * @param args the command line after `birkhoff`
 */
export async function loadProgram(version: string, args: readonly string[]): Promise<Command> {
  const asked = askedFor(args);
  const [command, suggest] = await Promise.all([
    asked?.load(),
    args.every((arg) => ofProgram.has(arg)) ? undefined : import("./suggest.ts"),
  ]);
  const program = new Command("birkhoff")
    .description("Train and study transformers with learned residual connections (mHC, HC) on any machine with npm.")
    .version(version, "-V, --version", "print the version")
    .option("--debug", "show where an error came from")
    .configureHelp({ subcommandTerm: (sub) => `${sub.name()} ${sub.usage()}` })
    .showHelpAfterError("(birkhoff COMMAND --help shows the options and an example)")
    .addHelpText(
      "after",
      '\nExamples:\n  birkhoff compare                                residual, HC and mHC side by side\n  birkhoff train --data my.txt --connection mhc\n  birkhoff sample runs/my --prompt "Fellow citizens"',
    );
  for (const entry of commandTable)
    program.addCommand(
      entry === asked && command ? command : new Command(entry.name).usage(entry.usage).description(entry.summary),
    );
  for (const each of [program, ...(command ? [command] : [])]) suggest?.suggestNames(each);
  return program;
}
