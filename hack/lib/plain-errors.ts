import { CommandError } from "#pkg/util/index.ts";

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
