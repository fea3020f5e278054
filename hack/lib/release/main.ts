/** Builds the Debian package from dist/ (see hack/release). The same input gives the same bytes. */
import {
  chmodSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { execFileSync } from "node:child_process";
import { tmpdir } from "node:os";
import { basename, join, relative } from "node:path";
import { parseCommandLine } from "#pkg/util/index.ts";
import packageJson from "../../../package.json" with { type: "json" };
import { type ProgramName, startCommand } from "../node-flags.ts";
import { packageClosure } from "./modules.ts";

const root = join(import.meta.dirname, "../../..");
const { values } = parseCommandLine("hack/release", {
  options: { out: { type: "string", default: join(root, "dist") }, quick: { type: "boolean", default: false } },
});

/** Bundles load these from beside themselves (see hack/lib/build.ts). */
const EXTERNAL = ["etcd3", "dockerode"];
const DEPENDS = ["libatomic1", "iproute2", "iptables", "conntrack", "kmod", "mount", "util-linux", "procps"];
const RECOMMENDS = ["containerd", "containernetworking-plugins", "nftables", "ipset", "ipvsadm", "etcd-server"];
const architecture = process.arch === "x64" ? "amd64" : process.arch;
const version = packageJson.version;

const CONTROL = `Package: kubits
Version: ${version}
Architecture: ${architecture}
Maintainer: Kubits maintainers <maintainers@users.noreply.kubits.example>
Depends: ${DEPENDS.join(", ")}
Recommends: ${RECOMMENDS.join(", ")}
Section: admin
Priority: optional
Description: Kubernetes, written from scratch in TypeScript
 kubits-master is the control plane, kubits-node the agent of every node.
 kubectl, Helm and client-go talk to it as to any cluster.
`;

/** Starts the services anew on upgrade only: a fresh installation waits until it has been configured or has joined. */
const POSTINST = `#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  systemctl try-restart kubits-master.service kubits-node.service
fi
`;
const PRERM = `#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
  systemctl disable --now kubits-node.service kubits-master.service
fi
rm -rf /usr/lib/kubits/compile-cache
`;

const launcher = (name: ProgramName) => `#!/bin/sh
exec ${startCommand(name, "/usr/lib/kubits/node", `/usr/lib/kubits/${name}.js`).join(" ")} "$@"
`;

function write(path: string, text: string, mode = 0o644): void {
  writeFileSync(path, text);
  chmodSync(path, mode);
}

function fill(stage: string): void {
  const lib = join(stage, "usr/lib/kubits");
  const bin = join(stage, "usr/bin");
  const units = join(stage, "lib/systemd/system");
  const etc = join(stage, "etc/kubits");
  const doc = join(stage, "usr/share/doc/kubits");
  const debian = join(stage, "DEBIAN");
  for (const folder of [lib, bin, units, etc, doc, debian]) mkdirSync(folder, { recursive: true, mode: 0o755 });

  for (const file of readdirSync(join(root, "dist"), { withFileTypes: true })) {
    // A folder is what running the bundles has left there.
    if (file.isFile() && !file.name.endsWith(".deb")) copyFileSync(join(root, "dist", file.name), join(lib, file.name));
  }
  for (const folder of packageClosure(root, EXTERNAL)) {
    // Packages nested in a copied one come along with it.
    cpSync(folder, join(lib, relative(root, folder)), {
      recursive: true,
      filter: (path) => !/\.(map|md|d\.ts)$/.test(path),
    });
  }
  execFileSync("strip", ["-o", join(lib, "node"), process.execPath]);
  chmodSync(join(lib, "node"), 0o755);

  for (const name of ["kubits-master", "kubits-node"] as const) {
    write(join(bin, name), launcher(name), 0o755);
    write(join(units, `${name}.service`), readFileSync(join(root, "hack/systemd", `${name}.service`), "utf8"));
  }
  const configurations = ["master.yaml", "node.yaml"];
  for (const name of configurations) copyFileSync(join(root, "hack/systemd", name), join(etc, name));
  copyFileSync(join(root, "LICENSE"), join(doc, "copyright"));
  write(join(debian, "control"), CONTROL);
  write(join(debian, "conffiles"), configurations.map((name) => `/etc/kubits/${name}\n`).join(""));
  write(join(debian, "postinst"), POSTINST, 0o755);
  write(join(debian, "prerm"), PRERM, 0o755);
}

const stage = mkdtempSync(join(tmpdir(), "kubits-release-"));
try {
  chmodSync(stage, 0o755);
  fill(stage);
  mkdirSync(values.out, { recursive: true });
  const file = join(values.out, `kubits_${version}_${architecture}.deb`);
  const compression = values.quick ? ["-Zgzip", "-z1"] : ["-Zxz", "-z4"];
  console.log(`packing ${basename(file)}${values.quick ? "" : " (takes a minute)"}`);
  const env = { ...process.env, SOURCE_DATE_EPOCH: "0" };
  execFileSync("dpkg-deb", ["--root-owner-group", ...compression, "--build", stage, file], { env, stdio: "inherit" });
  console.log(file);
} finally {
  rmSync(stage, { recursive: true, force: true });
}
