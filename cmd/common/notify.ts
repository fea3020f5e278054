import type { CommandRunner } from "#pkg/util/index.ts";

/**
 * Tells systemd that the program is ready (sd_notify(3)), where systemd started it and waits for that. Node.js has no
 * datagram sockets of the local family, so systemd's own tool speaks for it (NotifyAccess=all in the unit).
 */
export async function notifyReady(runner: CommandRunner, env: NodeJS.ProcessEnv): Promise<void> {
  if (env["NOTIFY_SOCKET"] === undefined) return;
  await runner.run("systemd-notify", ["--ready", `--pid=${process.pid}`], { timeoutMs: 10_000 });
}
