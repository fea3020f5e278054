/** Newer programs than this Debian release carries, unpacked from the development release beside those installed. */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

const exec = promisify(execFile);
const SOURCE = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian sid main\n";

/**
 * Unpacks a package of Debian sid into the cache (once) and answers the directory. Nothing is installed, and the
 * machine's own package lists stay as they are. The package must not need newer libraries than the machine has.
 */
async function unpackFromSid(name: string, cacheDir: string): Promise<string> {
  const unpacked = join(cacheDir, "sid", name);
  if (existsSync(unpacked)) return unpacked;
  const work = join(cacheDir, "sid", `.${name}.${process.pid}`);
  for (const directory of ["lists/partial", "archives/partial", "download"])
    mkdirSync(join(work, directory), { recursive: true });
  try {
    writeFileSync(join(work, "sources.list"), SOURCE);
    const apart = [
      `Dir::Etc::sourcelist=${work}/sources.list`,
      "Dir::Etc::sourceparts=/dev/null",
      `Dir::State::lists=${work}/lists`,
      `Dir::Cache=${work}`,
      "APT::Sandbox::User=root",
    ].flatMap((option) => ["-o", option]);
    const limits = { cwd: join(work, "download"), timeout: 300_000 };
    await exec("apt-get", [...apart, "update"], limits);
    await exec("apt-get", [...apart, "download", name], limits);
    const [archive] = readdirSync(limits.cwd);
    if (archive === undefined) throw new Error(`apt-get downloaded no ${name}`);
    await exec("dpkg", ["-x", join(limits.cwd, archive), join(work, "unpacked")]);
    renameSync(join(work, "unpacked"), unpacked);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return unpacked;
}

/** What --containerd means: a directory with a containerd and its shim, or "sid" for Debian's newest. */
export async function containerdBinaries(choice: string, cacheDir: string): Promise<string> {
  return choice === "sid" ? join(await unpackFromSid("containerd", cacheDir), "usr/bin") : choice;
}
