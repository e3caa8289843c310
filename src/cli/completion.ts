// birkhoff completion: a script by which a shell completes commands, options and their values.
//
// The script is made from the commands themselves and holds all that it offers, so that a shell completes without
// starting Node. What a value is, its choices or a place in the file system, is read from the option: its choices,
// or what stands between its brackets.

import { Argument, Command, type Option } from "commander";
import { connectionKinds } from "../connections/table.ts";
import { presets } from "../model/config.ts";
import { hardwareProfiles } from "../planning/hardware.ts";

/** What can stand in a place of the command line. */
type Value =
  | { readonly kind: "words" | "either"; readonly words: readonly string[] }
  | { readonly kind: "files" | "free" };

interface OptionOffer {
  readonly long: string;
  readonly short: string | undefined;
  readonly about: string;
  /** Undefined for a switch. */
  readonly value: Value | undefined;
  /** Whether the value can be left out. */
  readonly optional: boolean;
  readonly repeats: boolean;
}

/** What one command takes. */
export interface Offer {
  readonly name: string;
  readonly about: string;
  readonly options: readonly OptionOffer[];
  readonly operand: Value;
}

/** Placeholders of files and folders. */
const places: ReadonlySet<string> = new Set(["file", "folder", "run", "runs", "source", "in", "out"]);

/** Values that an option reads with a parser of its own: one of some words, or either a word or, where none fits, a file. */
const known: Readonly<Record<string, Value>> = {
  "train --connection": { kind: "words", words: connectionKinds },
  "compare --connections": { kind: "words", words: connectionKinds },
  "train --preset": { kind: "either", words: Object.keys(presets) },
  "compare --preset": { kind: "either", words: Object.keys(presets) },
  "train --from-checkpoint": { kind: "words", words: ["last", "best"] },
  "plan --hardware": { kind: "either", words: [...Object.keys(hardwareProfiles), "this-machine"] },
};

const valueOf = (placeholder: string, choices: readonly string[] | undefined): Value =>
  choices ? { kind: "words", words: choices } : { kind: places.has(placeholder) ? "files" : "free" };

function offerOption(option: Option, command: string): OptionOffer | undefined {
  const { long, short, description, flags, hidden } = option;
  if (hidden || long == null) return undefined;
  const placeholder = /[<[]([^\]>]+?)(?:\.\.\.)?[\]>]/.exec(flags)?.[1];
  return {
    long,
    short: short ?? undefined,
    about: firstPart(description),
    value:
      placeholder === undefined ? undefined : (known[`${command} ${long}`] ?? valueOf(placeholder, option.argChoices)),
    optional: option.optional,
    repeats: option.variadic || Array.isArray(option.defaultValue),
  };
}

const help: OptionOffer = {
  long: "--help",
  short: "-h",
  about: "display help for command",
  value: undefined,
  optional: false,
  repeats: false,
};

/** What these commands take, as they say themselves. */
export function offersOf(commands: readonly Command[]): Offer[] {
  return commands.map((command) => {
    const name = command.name();
    const operands = command.registeredArguments.map((one) => valueOf(one.name(), one.argChoices));
    return {
      name,
      about: firstPart(command.description()),
      options: [...command.options.flatMap((option) => offerOption(option, name) ?? []), help],
      // Commands with choices take one operand; the others take files and folders, or nothing that can be completed.
      operand: operands.find(({ kind }) => kind !== "free") ?? { kind: "free" },
    };
  });
}

/** The first sentence or clause of a description. */
const firstPart = (text: string): string => text.split(/(?<=[a-z)])[.;:] |, such as | \(/)[0]!.replace(/\.$/, "");

/** The options of `birkhoff` itself. */
const ofProgram: readonly string[] = ["--version", "--debug", "--help"];

/** What a script says of a value, by its kind. */
const sayOf = <T>(
  value: Value,
  say: { words(words: string): T; either(words: string): T; readonly files: T; readonly free: T },
): T => ("words" in value ? say[value.kind](value.words.join(" ")) : say[value.kind]);

const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

const flagsOf = ({ options }: Offer): string[] => options.map(({ long }) => long);

function bash(offers: readonly Offer[]): string {
  const names = [...offers.map(({ name }) => name), "help"].join(" ");
  const cases = offers.map((offer) => {
    const say = (value: Value): string =>
      sayOf(value, {
        words: (words) => `_birkhoff_words "${words}"`,
        either: (words) => `_birkhoff_either "${words}"`,
        files: "_birkhoff_files",
        free: ":",
      });
    const byAction = new Map<string, string[]>();
    for (const { long, value, optional } of offer.options)
      if (value && !optional) byAction.set(say(value), [...(byAction.get(say(value)) ?? []), long]);
    const inner = [...byAction].map(([action, longs]) => `        ${longs.join("|")}) ${action}; return ;;`);
    return [
      `    ${offer.name})`,
      ...(inner.length > 0 ? ['      case "$previous" in', ...inner, "      esac"] : []),
      `      case "$current" in`,
      `        -*) _birkhoff_words "${flagsOf(offer).join(" ")}" ;;`,
      `        *) ${say(offer.operand)} ;;`,
      "      esac ;;",
    ].join("\n");
  });
  return `# Completion of birkhoff in bash: source <(birkhoff completion bash)

_birkhoff_words() { COMPREPLY=($(compgen -W "$1" -- "$current")); }

_birkhoff_files() {
  local IFS=$'\\n'
  compopt -o filenames 2>/dev/null
  COMPREPLY=($(compgen -f -- "$current"))
}

_birkhoff_either() {
  _birkhoff_words "$1"
  if [ "\${#COMPREPLY[@]}" -eq 0 ]; then _birkhoff_files; fi
}

_birkhoff() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" command="" word
  # Bash takes --option=value apart at its sign.
  if [ "$current" = "=" ]; then
    current=""
  elif [ "$previous" = "=" ]; then
    previous="\${COMP_WORDS[COMP_CWORD-2]}"
  fi
  COMPREPLY=()
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in -*) ;; *) command="$word"; break ;; esac
  done
  case "$command" in
    "") _birkhoff_words "${names} ${ofProgram.join(" ")}" ;;
    help) _birkhoff_words "${names}" ;;
${cases.join("\n")}
  esac
}

complete -F _birkhoff birkhoff
`;
}

function zsh(offers: readonly Offer[]): string {
  const plain = (text: string): string => text.replaceAll(/[[\]:\\]/g, "\\$&");
  const action = (value: Value): string =>
    sayOf(value, {
      words: (words) => `(${words})`,
      either: (words) => `{compadd -- ${words} || _files}`,
      files: "_files",
      free: " ",
    });
  const spec = ({ long, about, value, optional, repeats }: OptionOffer): string => {
    const takes = value ? `${optional ? "::" : ":"}value:${action(value)}` : "";
    return quote(`${repeats ? "*" : ""}${long}${value ? "=" : ""}[${plain(about)}]${takes}`);
  };
  const cases = offers.map(
    (offer) =>
      `        ${offer.name})\n          _arguments \\\n${[...offer.options.map(spec), quote(`*:operand:${action(offer.operand)}`)].map((line) => `            ${line}`).join(" \\\n")} ;;`,
  );
  const described = offers.map(({ name, about }) => `        ${quote(`${name}:${plain(about)}`)}`);
  return `#compdef birkhoff
# Completion of birkhoff in zsh: source <(birkhoff completion zsh), after compinit.

_birkhoff() {
  local curcontext="$curcontext" state line
  typeset -A opt_args
  _arguments -C '--version[print the version]' '--debug[show where an error came from]' '--help[display help]' \\
    '1:command:->command' '*::argument:->argument'
  case $state in
    command)
      local -a commands
      commands=(
${described.join("\n")}
        'help:Display help for a command'
      )
      _describe -t commands command commands ;;
    argument)
      case $words[1] in
        help) _values command ${offers.map(({ name }) => name).join(" ")} ;;
${cases.join("\n")}
      esac ;;
  esac
}

if [ "$funcstack[1]" = "_birkhoff" ]; then _birkhoff "$@"; else compdef _birkhoff birkhoff; fi
`;
}

function fish(offers: readonly Offer[]): string {
  const escaped = (text: string): string => `'${text.replaceAll(/[\\']/g, "\\$&")}'`;
  const lines = offers.flatMap((offer) => {
    const when = `complete -c birkhoff -n '__fish_seen_subcommand_from ${offer.name}'`;
    const operand = sayOf(offer.operand, {
      words: (words) => [`${when} -a ${escaped(words)}`],
      either: (words) => [`${when} -F -a ${escaped(words)}`],
      files: [`${when} -F`],
      free: [],
    });
    const options = offer.options.map(({ long, short, about, value, optional }) => {
      const needs =
        !value || optional
          ? ""
          : sayOf(value, { words: () => " -x", either: () => " -r -F", files: " -r -F", free: " -x" });
      const words = value && "words" in value ? ` -a ${escaped(value.words.join(" "))}` : "";
      return `${when} -l ${long.slice(2)}${short ? ` -s ${short.slice(1)}` : ""}${needs}${words} -d ${escaped(about)}`;
    });
    return [
      `complete -c birkhoff -n __fish_use_subcommand -a ${offer.name} -d ${escaped(offer.about)}`,
      ...operand,
      ...options,
    ];
  });
  return `# Completion of birkhoff in fish: birkhoff completion fish | source

complete -c birkhoff -f
${ofProgram.map((flag) => `complete -c birkhoff -n __fish_use_subcommand -l ${flag.slice(2)}`).join("\n")}
complete -c birkhoff -n __fish_use_subcommand -a help -d 'Display help for a command'
complete -c birkhoff -n '__fish_seen_subcommand_from help' -a '${offers.map(({ name }) => name).join(" ")}'
${lines.join("\n")}
`;
}

export type Shell = "bash" | "zsh" | "fish";

const scripts: Readonly<Record<Shell, (offers: readonly Offer[]) => string>> = { bash, zsh, fish };

/** The script for a shell that completes these commands. */
export const completionScript = (shell: Shell, commands: readonly Command[]): string =>
  scripts[shell](offersOf(commands));

/** @param loadAll loads every command, this one too */
export const completionCommand = (loadAll: () => Promise<readonly Command[]>): Command =>
  new Command("completion")
    .description("Print a script that completes commands, options and their values in bash, zsh or fish.")
    .addArgument(new Argument("<shell>", "the shell").choices(Object.keys(scripts)))
    .addHelpText(
      "after",
      `
Examples (bash and zsh: a line of ~/.bashrc or ~/.zshrc):
  source <(birkhoff completion bash)
  source <(birkhoff completion zsh)
  birkhoff completion fish > ~/.config/fish/completions/birkhoff.fish`,
    )
    .action(async (shell: Shell) => {
      process.stdout.write(completionScript(shell, await loadAll()));
    });
