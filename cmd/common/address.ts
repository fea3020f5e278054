import { networkInterfaces } from "node:os";
import type { CommandRunner } from "#pkg/util/index.ts";

/** Address that the default route uses, or the first one that is not loopback; "" when the machine has none. */
export async function defaultAddress(runner: CommandRunner): Promise<string> {
  const { stdout } = await runner.run("ip", ["-json", "route", "get", "1.1.1.1"], { allowFailure: true });
  if (stdout.startsWith("[")) {
    const route = (JSON.parse(stdout) as Array<{ prefsrc?: string }>)[0];
    if (route?.prefsrc !== undefined) return route.prefsrc;
  }
  const external = Object.values(networkInterfaces())
    .flat()
    .find((entry) => entry?.family === "IPv4" && !entry.internal);
  return external?.address ?? "";
}
