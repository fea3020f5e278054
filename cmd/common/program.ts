import { readFileSync } from "node:fs";
import { errorMessage, hasCode } from "#pkg/util/index.ts";
import { load } from "js-yaml";
import {
  type FlagSet,
  type FlagValues,
  UsageError,
  defineFlags,
  describeFlags,
  parseFlags,
} from "#pkg/config/index.ts";
import type { Logger } from "#pkg/util/index.ts";
import packageJson from "../../package.json" with { type: "json" };
import { createLogger } from "./logging.ts";

/** Level of the API that both programs speak. */
const KUBERNETES_VERSION = "v1.36.0";
const VERSION = `${KUBERNETES_VERSION}+kubits.${packageJson.version}`;

/**
 * How a component names itself to the API server. Its first part is the manager of the fields that it sets: tools leave fields
 * alone by the names of Kubernetes' components (kube-controller-manager, kubelet), whichever program they are in.
 */
export function userAgentOf(component: string): string {
  return `${component}/${VERSION}`;
}

/** Flags that both programs have. */
export const commonFlags = defineFlags({
  config: {
    type: "string",
    default: "",
    help: "Configuration file in YAML; its keys are the names of these flags.",
    section: "General",
  },
  v: {
    type: "integer",
    default: 0,
    shorthand: "v",
    help: "Log verbosity: 0 informs, 4 and more debugs.",
    section: "General",
  },
  "logging-format": {
    type: "string",
    default: "json",
    choices: ["json", "text"],
    help: "Format of the log on standard output.",
    section: "General",
  },
  help: { type: "boolean", default: false, shorthand: "h", help: "Shows this text.", section: "General" },
  version: { type: "boolean", default: false, help: "Shows the version.", section: "General" },
});

/** What a command is called with. */
export interface CommandContext<S extends FlagSet> {
  readonly flags: FlagValues<S>;
  /** Words after the command; as many as `Command.arguments` names. */
  readonly args: readonly string[];
  readonly log: Logger;
  readonly signal: AbortSignal;
}

export interface Command<S extends FlagSet> {
  /** One line for --help. */
  readonly summary: string;
  /** Names of the words that must follow the command, e.g. ["<namespace>/<pod>"]. */
  readonly arguments?: readonly string[];
  run(context: CommandContext<S>): Promise<void>;
}

export interface ProgramDescription<S extends FlagSet> {
  /** E.g. "kubits-master". */
  readonly name: string;
  readonly summary: string;
  /** The first one runs when the command line names none. */
  readonly commands: Readonly<Record<string, Command<S>>>;
  readonly flags: S;
  /** Read when --config is not given and the file exists. */
  readonly defaultConfigFile: string;
  /** Turns a configuration file of another form into values of flags; told of what it has to say to the user. */
  fileAsFlags?(
    file: Readonly<Record<string, unknown>>,
    warn: (text: string) => void,
    path: string,
  ): Readonly<Record<string, unknown>>;
}

function helpText<S extends FlagSet>(program: ProgramDescription<S>): string {
  const commands = Object.entries(program.commands).map(([name, { summary, arguments: words = [] }], index) => {
    const usage = [name, ...words].join(" ");
    return `  ${usage.padEnd(38)}${summary}${index === 0 ? " The default." : ""}`;
  });
  return `${program.summary}

Usage:
  ${program.name} [command] [flags]

Commands:
${commands.join("\n")}

${describeFlags(program.flags)}
Every flag is also a key of the configuration file (${program.defaultConfigFile}) and, upper-cased with
underscores, an environment variable that starts with ${envPrefix(program.name)}_. Flag beats environment beats file.
`;
}

function envPrefix(name: string): string {
  return name.replaceAll("-", "_").toUpperCase();
}

function readConfigFile(path: string, required: boolean): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (!required && hasCode(error, "ENOENT")) return {};
    throw new UsageError(`cannot read the configuration file: ${errorMessage(error)}`);
  }
  const value = load(text) ?? {};
  if (typeof value !== "object" || Array.isArray(value))
    throw new UsageError(`${path}: expected a mapping of flag names to values`);
  return value as Record<string, unknown>;
}

interface Parsed<S extends FlagSet> {
  readonly flags: FlagValues<S>;
  readonly command: Command<S>;
  readonly args: readonly string[];
}

/** Reads the command line. Undefined: --help or --version was asked for and has been answered. */
function parseProgram<const S extends FlagSet & typeof commonFlags>(
  program: ProgramDescription<S>,
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Parsed<S> | undefined {
  const bare = parseFlags(program.flags, { argv });
  const given = bare.values as { help: boolean; version: boolean; config: string };
  if (given.help) {
    console.log(helpText(program));
    return undefined;
  }
  if (given.version) {
    console.log(`${program.name} ${VERSION}`);
    return undefined;
  }
  const path = given.config === "" ? program.defaultConfigFile : given.config;
  const file = readConfigFile(path, given.config !== "");
  const warn = (text: string) => console.error(`${program.name}: ${text}`);
  const asFlags = program.fileAsFlags?.(file, warn, path) ?? file;
  const sources = { argv, env, envPrefix: envPrefix(program.name), file: asFlags };
  const { values, positional } = parseFlags(program.flags, sources);
  const names = Object.keys(program.commands);
  const [name = names[0]!, ...args] = positional;
  if (!Object.hasOwn(program.commands, name)) {
    throw new UsageError(`unknown command: ${name} (known are ${names.join(", ")})`);
  }
  const command = program.commands[name]!;
  const expected = command.arguments ?? [];
  if (args.length > expected.length) throw new UsageError(`unexpected argument: ${args[expected.length]}`);
  if (args.length < expected.length) throw new UsageError(`${name} needs ${expected[args.length]}`);
  return { flags: values, command, args };
}

/**
 * A program from its command line to its exit code: 0 when the command ended or was told to stop, 1 when it failed (the
 * log says why), 2 for mistakes in flags, configuration file or environment (standard error says which).
 */
export async function runProgram<const S extends FlagSet & typeof commonFlags>(
  program: ProgramDescription<S>,
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  signal: AbortSignal,
): Promise<number> {
  let log: Logger | undefined;
  try {
    const parsed = parseProgram(program, argv, env);
    if (parsed === undefined) return 0;
    const { v, "logging-format": format } = parsed.flags as FlagValues<typeof commonFlags>;
    log = createLogger({ component: program.name, verbosity: v, format });
    await parsed.command.run({ flags: parsed.flags, args: parsed.args, log, signal });
    return 0;
  } catch (err) {
    if (err instanceof UsageError) {
      console.error(`${program.name}: ${err.message}\nSee '${program.name} --help'.`);
      return 2;
    }
    if (signal.aborted) return 0;
    if (log === undefined) throw err;
    log.error({ err }, `${program.name} stops`);
    return 1;
  }
}
