/** What Docker would only find out when it starts a container, in words that do not name the profile. */
import { readFile } from "node:fs/promises";
import { ifExists } from "#pkg/util/index.ts";
import { RuntimeError } from "../cri/runtime.ts";
import type { SecurityProfile } from "../cri/runtime.ts";

/** One a line, with its mode: "name (enforce)". */
const LOADED = "/sys/kernel/security/apparmor/profiles";

/** Rejects with RuntimeError, as containerd words it, where a profile of the machine's is asked for that nobody has loaded. */
export async function requireLoaded(profile: SecurityProfile | undefined): Promise<void> {
  if (profile?.type !== "Localhost") return;
  const name = profile.localhostRef ?? "";
  // Where the kernel does not show them, Docker has the last word.
  const loaded = await ifExists(readFile(LOADED, "utf8"));
  if (loaded === undefined || loaded.split("\n").some((line) => line.startsWith(`${name} (`))) return;
  throw new RuntimeError("Unknown", `apparmor profile not found ${name}`);
}
