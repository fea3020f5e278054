import { chmodSync, existsSync, globSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { SpawnRunner } from "#pkg/util/index.ts";

const runner = new SpawnRunner();

/** What the machines have before anything of ours is installed: Debian with systemd, a kernel, ssh, and what needs a download. */
const PACKAGES = [
  "systemd-sysv",
  "dbus",
  "openssh-server",
  "linux-image-cloud-amd64",
  "initramfs-tools",
  "iproute2",
  "iputils-ping",
  "procps",
  "kmod",
  "curl",
  "ca-certificates",
  "libatomic1",
  "containerd",
  "runc",
  "containernetworking-plugins",
  "iptables",
  "nftables",
  "ipset",
  "ipvsadm",
  "conntrack",
  // Debian's installer adds it on its own, for its kernel confines programs by it unless told otherwise.
  "apparmor",
];

export interface VmImage {
  readonly disk: string;
  readonly kernel: string;
  readonly initrd: string;
}

/** Machine n of a lab has this hardware address, by which the image knows its own IP address. */
export const macOf = (number: number): string => `52:54:00:4b:00:${number.toString(16).padStart(2, "0")}`;
export const addressOf = (number: number): string => `192.168.56.${9 + number}`;
export const MAX_MACHINES = 9;

function networkFile(number: number): string {
  return `[Match]
MACAddress=${macOf(number)}

[Network]
Address=${addressOf(number)}/24
Gateway=192.168.56.1
DNS=127.0.0.1
`;
}

function configure(root: string): void {
  const put = (path: string, text: string) => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  for (let number = 1; number <= MAX_MACHINES; number++)
    put(`etc/systemd/network/10-lab-${number}.network`, networkFile(number));
  // On a busy host the emulated machine takes minutes to find its disks.
  const files = "ro,nofail,x-systemd.device-timeout=900";
  put("etc/fstab", `/dev/vda / ext4 rw,noatime 0 1\nLABEL=files /mnt ext4 ${files} 0 0\n`);
  put("etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n");
  // Nor does it start programs in the time that is much for a real one.
  for (const service of ["kubits-master", "kubits-node"])
    put(`etc/systemd/system/${service}.service.d/lab.conf`, "[Service]\nTimeoutStartSec=900\n");
  put("etc/ssh/sshd_config.d/lab.conf", "AuthorizedKeysFile /mnt/authorized_keys\nUseDNS no\n");
}

async function debootstrap(root: string, packages: readonly string[]): Promise<void> {
  const { stdout } = await runner.run("apt-get", ["indextargets", "--format", "$(SITE)"]);
  const mirror = stdout.split("\n").find((site) => site !== "" && !site.includes("security"));
  const include = `--include=${packages.join(",")}`;
  const args = ["--variant=minbase", include, "bookworm", root, mirror ?? "http://deb.debian.org/debian"];
  await runner.run("debootstrap", args, { timeoutMs: 1_800_000 });
}

/** Makes (once) the disk that every machine of labs with these further Debian packages starts from. */
export async function ensureImage(
  cacheDir: string,
  further: readonly string[],
  progress: (line: string) => void,
): Promise<VmImage> {
  const packages = [...PACKAGES, ...further];
  const recipe = createHash("sha256")
    .update(JSON.stringify([packages, configure.toString()]))
    .digest("hex")
    .slice(0, 12);
  const folder = join(cacheDir, "vm", `image-${recipe}`);
  const image = {
    disk: join(folder, "disk.ext4"),
    kernel: join(folder, "vmlinuz"),
    initrd: join(folder, "initrd.img"),
  };
  if (existsSync(folder)) return image;
  const work = mkdtempSync(join(tmpdir(), "kubits-vm-"));
  try {
    chmodSync(work, 0o755);
    const root = join(work, "root");
    progress("Debian for the machines (debootstrap; takes minutes, once)");
    await debootstrap(root, packages);
    configure(root);
    await runner.run("systemctl", ["--root", root, "enable", "systemd-networkd", "ssh"]).catch(async () => {
      // The machine that builds may have no systemctl; the image's own works in a chroot.
      await runner.run("chroot", [root, "systemctl", "enable", "systemd-networkd", "ssh"]);
    });
    // Nothing of ours may run before it has been provisioned.
    await runner.run("chroot", [root, "systemctl", "disable", "containerd"]);
    const made = join(work, "image");
    mkdirSync(made);
    for (const [pattern, name] of [
      ["boot/vmlinuz-*", "vmlinuz"],
      ["boot/initrd.img-*", "initrd.img"],
    ] as const) {
      const [found] = globSync(pattern, { cwd: root });
      if (found === undefined) throw new Error(`debootstrap left no ${pattern}`);
      await runner.run("cp", [join(root, found), join(made, name)]);
    }
    progress("disk image");
    rmSync(join(root, "var/cache/apt/archives"), { recursive: true, force: true });
    await fileSystem(join(made, "disk.ext4"), root, "6G");
    mkdirSync(join(cacheDir, "vm"), { recursive: true });
    await runner.run("mv", [made, folder]);
    return image;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** A file system image of `size` with what `folder` holds; the file appears whole or not at all. */
export async function fileSystem(path: string, folder: string, size: string, label = ""): Promise<void> {
  const temporary = `${path}.new`;
  rmSync(temporary, { force: true });
  await runner.run("mke2fs", ["-q", "-t", "ext4", "-L", label, "-d", folder, temporary, size], { timeoutMs: 600_000 });
  renameSync(temporary, path);
}
