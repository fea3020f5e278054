import { parseArgs, type ParseArgsConfig } from "node:util";
import { CommandError, hasCode } from "#pkg/util/index.ts";

/** What whoever ran the program should read, and nothing more: a wrong argument, a machine that lacks something. */
export class PlainError extends Error {}

/** Runs a program's action. What the machine or the network refuses is told in a sentence, without our call stack. */
export async function withPlainErrors(program: string, action: () => Promise<void>): Promise<void> {
  try {
    await action();
  } catch (error) {
    if (!(error instanceof PlainError) && !(error instanceof CommandError)) throw error;
    console.error(`${program}: ${error.message}`);
    process.exitCode = 1;
  }
}

/** parseArgs for a program's own command line: an option that it does not know ends it with a sentence. */
export function parseCommandLine<T extends ParseArgsConfig>(
  program: string,
  config: T,
): ReturnType<typeof parseArgs<T>> {
  try {
    return parseArgs(config);
  } catch (error) {
    const codes = ["UNKNOWN_OPTION", "INVALID_OPTION_VALUE", "UNEXPECTED_POSITIONAL"];
    if (!hasCode(error, ...codes.map((code) => `ERR_PARSE_ARGS_${code}`))) throw error;
    // Node.js explains at length how a value that begins with a dash can be given: its first sentence says what is wrong.
    const [sentence] = (error as Error).message.split(/\. |\n/);
    console.error(`${program}: ${sentence}; "${program} --help" lists what there is`);
    process.exit(2);
  }
}
