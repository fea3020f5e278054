import { readFileSync } from "node:fs";
import { load } from "js-yaml";
import {
  type FlagSet,
  type ParsedFlags,
  UsageError,
  defineFlags,
  describeFlags,
  parseFlags,
} from "#pkg/config/index.ts";
import packageJson from "../../package.json" with { type: "json" };

/** Level of the API that both programs speak. */
export const KUBERNETES_VERSION = "v1.36.0";
export const VERSION = `${KUBERNETES_VERSION}+kubits.${packageJson.version}`;

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

export interface ProgramDescription<S extends FlagSet> {
  /** E.g. "kubits-master". */
  readonly name: string;
  readonly summary: string;
  /** Sub-command → one line. */
  readonly commands: Readonly<Record<string, string>>;
  readonly flags: S;
  /** Read when --config is not given and the file exists. */
  readonly defaultConfigFile: string;
}

export type ParseOutcome<S extends FlagSet> =
  | { readonly kind: "run"; readonly flags: ParsedFlags<S>; readonly command: string }
  | { readonly kind: "exit"; readonly code: number };

function helpText(program: ProgramDescription<FlagSet>): string {
  const commands = Object.entries(program.commands).map(([name, text]) => `  ${name.padEnd(22)}${text}`);
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
    if (!required && (error as NodeJS.ErrnoException).code === "ENOENT") return {};
    throw new UsageError(`cannot read the configuration file: ${(error as Error).message}`);
  }
  const value = load(text) ?? {};
  if (typeof value !== "object" || Array.isArray(value))
    throw new UsageError(`${path}: expected a mapping of flag names to values`);
  return value as Record<string, unknown>;
}

/** Reads the command line; --help, --version and mistakes are answered here. */
export function parseProgram<const S extends FlagSet & typeof commonFlags>(
  program: ProgramDescription<S>,
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): ParseOutcome<S> {
  try {
    const bare = parseFlags(program.flags, { argv });
    const given = bare.values as { help: boolean; version: boolean; config: string };
    if (given.help) {
      console.log(helpText(program));
      return { kind: "exit", code: 0 };
    }
    if (given.version) {
      console.log(`${program.name} ${VERSION}`);
      return { kind: "exit", code: 0 };
    }
    const file = readConfigFile(given.config === "" ? program.defaultConfigFile : given.config, given.config !== "");
    const flags = parseFlags(program.flags, { argv, env, envPrefix: envPrefix(program.name), file });
    const [command = "", ...rest] = flags.positional;
    if (rest.length > 0) throw new UsageError(`unexpected argument: ${rest[0]}`);
    if (command !== "" && !Object.hasOwn(program.commands, command)) {
      throw new UsageError(`unknown command: ${command} (known are ${Object.keys(program.commands).join(", ")})`);
    }
    return { kind: "run", flags, command };
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`${program.name}: ${error.message}\nSee '${program.name} --help'.`);
    return { kind: "exit", code: 2 };
  }
}
