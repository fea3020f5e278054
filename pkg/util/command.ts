import { spawn } from "node:child_process";

/** How a command ended and what it said. */
export interface CommandResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs programs of the host as argument arrays, never through a shell. */
export interface CommandRunner {
  /**
   * Runs `file` to its end. Rejects with CommandError on a non-zero exit (unless `allowFailure`), on a missing
   * program, after `timeoutMs` (default 30 s), or when aborted.
   */
  run(
    file: string,
    args: readonly string[],
    options?: {
      stdin?: string | Uint8Array;
      timeoutMs?: number;
      signal?: AbortSignal;
      allowFailure?: boolean;
      env?: Record<string, string>;
    },
  ): Promise<CommandResult>;
}

/** A command that ended with a failure; the message has what it said. */
export class CommandError extends Error {
  readonly result: CommandResult;
  constructor(file: string, args: readonly string[], result: CommandResult, options?: { cause?: unknown }) {
    const said = result.stderr.trim() || result.stdout.trim();
    super(
      `${[file, ...args].join(" ")} exited with ${result.exitCode}${said === "" ? "" : `: ${said.slice(0, 2000)}`}`,
      options,
    );
    this.name = "CommandError";
    this.result = result;
  }
}

/** Output beyond this many bytes per stream is cut off: a runaway program must not fill our memory. */
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

/** Runs commands on this machine. */
export class SpawnRunner implements CommandRunner {
  run(
    file: string,
    args: readonly string[],
    options: {
      stdin?: string | Uint8Array;
      timeoutMs?: number;
      signal?: AbortSignal;
      allowFailure?: boolean;
      env?: Record<string, string>;
    } = {},
  ): Promise<CommandResult> {
    return new Promise((resolve, reject) => {
      const child = spawn(file, args, {
        stdio: ["pipe", "pipe", "pipe"],
        timeout: options.timeoutMs ?? 30_000,
        killSignal: "SIGKILL",
        signal: options.signal,
        ...(options.env === undefined ? {} : { env: options.env }),
      });
      const collect = (stream: NodeJS.ReadableStream): (() => string) => {
        const chunks: Buffer[] = [];
        let size = 0;
        stream.on("data", (chunk: Buffer) => {
          size += chunk.length;
          if (size <= MAX_OUTPUT_BYTES) chunks.push(chunk);
        });
        return () => Buffer.concat(chunks).toString("utf8");
      };
      const stdout = collect(child.stdout);
      const stderr = collect(child.stderr);
      child.on("error", (cause) => {
        const result = { exitCode: 127, stdout: stdout(), stderr: cause.message };
        reject(new CommandError(file, args, result, { cause }));
      });
      child.on("close", (code, signalName) => {
        const result = { exitCode: code ?? 128, stdout: stdout(), stderr: stderr() };
        if (result.exitCode === 0 || (options.allowFailure === true && code !== null)) resolve(result);
        else if (signalName === null) reject(new CommandError(file, args, result));
        else reject(new CommandError(file, args, { ...result, stderr: `killed by ${signalName} ${result.stderr}` }));
      });
      // A program may exit without reading its input; the exit code tells what matters.
      child.stdin.on("error", () => undefined);
      child.stdin.end(options.stdin ?? "");
    });
  }
}
