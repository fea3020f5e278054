import { CommandError } from "#pkg/util/index.ts";
import { PackageError } from "./images/oci.ts";

/** Runs a program's action. What the machine or the network refuses is told in a sentence, without our call stack. */
export async function withPlainErrors(program: string, action: () => Promise<void>): Promise<void> {
  try {
    await action();
  } catch (error) {
    if (!(error instanceof PackageError) && !(error instanceof CommandError)) throw error;
    console.error(`${program}: ${error.message}`);
    process.exitCode = 1;
  }
}
