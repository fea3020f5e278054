import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { hasCode, processStat } from "#pkg/util/index.ts";

/** Tells the process from a later one of the same id; undefined when it has ended. */
function startTime(pid: number): string | undefined {
  const stat = processStat(pid);
  return stat?.state === "Z" ? undefined : stat?.startTime;
}

/** Background programs with a pid file and a log file each; a pid file is only believed when the start time matches. */
export class Daemons {
  readonly runDir: string;
  readonly logDir: string;

  constructor(options: { runDir: string; logDir: string }) {
    this.runDir = options.runDir;
    this.logDir = options.logDir;
  }

  logFile(name: string): string {
    return join(this.logDir, `${name}.log`);
  }

  pid(name: string): number | undefined {
    try {
      const [pid, started] = readFileSync(join(this.runDir, `${name}.pid`), "utf8")
        .trim()
        .split(" ");
      return startTime(Number(pid)) === started ? Number(pid) : undefined;
    } catch (error) {
      if (hasCode(error, "ENOENT")) return undefined;
      throw error;
    }
  }

  /** Starts `argv` detached unless it runs already. Answers true when it was started now. */
  start(name: string, argv: readonly string[], env: Record<string, string> = {}): boolean {
    if (this.pid(name) !== undefined) return false;
    mkdirSync(this.runDir, { recursive: true });
    mkdirSync(this.logDir, { recursive: true });
    const log = openSync(this.logFile(name), "a", 0o640);
    const child = spawn(argv[0]!, argv.slice(1), {
      detached: true,
      stdio: ["ignore", log, log],
      env: { ...process.env, ...env },
    });
    closeSync(log);
    child.on("error", (error) => console.error(`${name}: ${error.message}`));
    if (child.pid === undefined) throw new Error(`cannot start ${name}: ${argv.join(" ")}`);
    child.unref();
    const path = join(this.runDir, `${name}.pid`);
    writeFileSync(`${path}.new`, `${child.pid} ${startTime(child.pid) ?? ""}\n`);
    renameSync(`${path}.new`, path);
    return true;
  }

  /** SIGTERM, then SIGKILL after `graceMs`. Answers false when it was not running. */
  async stop(name: string, graceMs = 15_000): Promise<boolean> {
    const pid = this.pid(name);
    const path = join(this.runDir, `${name}.pid`);
    if (pid === undefined) {
      rmSync(path, { force: true });
      return false;
    }
    process.kill(pid, "SIGTERM");
    const deadline = Date.now() + graceMs;
    while (this.pid(name) !== undefined && Date.now() < deadline) await delay(50);
    if (this.pid(name) !== undefined) process.kill(pid, "SIGKILL");
    while (this.pid(name) !== undefined && Date.now() < deadline + 5000) await delay(50);
    rmSync(path, { force: true });
    return true;
  }

  kill(name: string, signal: NodeJS.Signals): void {
    const pid = this.pid(name);
    if (pid !== undefined) process.kill(pid, signal);
  }

  /** Last lines of a log, for error messages. */
  tail(name: string, lines = 15): string {
    try {
      return readFileSync(this.logFile(name), "utf8").trimEnd().split("\n").slice(-lines).join("\n");
    } catch (error) {
      if (hasCode(error, "ENOENT")) return "";
      throw error;
    }
  }
}
