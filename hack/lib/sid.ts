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
async function unpackFromSid(name: string, cacheDir: string, timeout: number): Promise<string> {
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
      "Acquire::http::Timeout=20",
      "Acquire::Retries=0",
      "APT::Update::Error-Mode=any",
    ].flatMap((option) => ["-o", option]);
    const limits = { cwd: join(work, "download"), timeout };
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
export async function containerdBinaries(choice: string, cacheDir: string, timeoutMs = 300_000): Promise<string> {
  return choice === "sid" ? join(await unpackFromSid("containerd", cacheDir, timeoutMs), "usr/bin") : choice;
}

/** How long a run of the tests may wait for a package that it can do without. */
const TEST_LIMIT_MS = 60_000;

/** Debian's newest containerd for tests, or why there is none: the package cannot be had, or does not run here. */
export async function newestContainerd(
  cacheDir: string,
): Promise<{ readonly binaries: string; readonly version: string } | { readonly missing: string }> {
  try {
    const binaries = await containerdBinaries("sid", cacheDir, TEST_LIMIT_MS);
    const { stdout } = await exec(join(binaries, "containerd"), ["--version"], { timeout: TEST_LIMIT_MS });
    return { binaries, version: stdout.trim() };
  } catch (error) {
    const { message, stderr = "" } = error as Error & { stderr?: string };
    return { missing: stderr.split("\n").find((line) => line !== "") ?? message };
  }
}
