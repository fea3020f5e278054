import { parseArgs, type ParseArgsConfig } from "node:util";
import { errorMessage, hasCode } from "./errors.ts";

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
    const [sentence] = errorMessage(error).split(/\. |\n/);
    console.error(`${program}: ${sentence}; "${program} --help" lists what there is`);
    process.exit(2);
  }
}
