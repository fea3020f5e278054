/** What each image is made of. Everything comes from Debian packages, so images can be built where no registry is in reach. */

export interface ImageRecipe {
  /** Full reference, e.g. docker.io/library/nginx:1.14.2. */
  readonly reference: string;
  /** Debian packages unpacked into the root file system. */
  readonly packages: readonly string[];
  /** Further files: path → content, with mode where it is not 0644. */
  readonly files?: Readonly<Record<string, { content: string; mode?: number }>>;
  /** Symbolic links: path → target. */
  readonly links?: Readonly<Record<string, string>>;
  readonly directories?: readonly string[];
  /** Paths of the packages that the image leaves out. */
  readonly drop?: readonly string[];
  /** Puts busybox at /bin/busybox and a link for each of its applets into /bin. */
  readonly busyboxApplets?: boolean;
  readonly config: {
    readonly Entrypoint?: readonly string[];
    readonly Cmd?: readonly string[];
    readonly Env?: readonly string[];
    readonly ExposedPorts?: Readonly<Record<string, object>>;
    readonly StopSignal?: string;
    readonly User?: string;
    readonly WorkingDir?: string;
  };
}

const PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const DOCUMENTATION = ["usr/share/doc", "usr/share/man", "usr/share/lintian", "usr/share/locale", "usr/share/info"];
/** What of libc6 a container has no use for. */
const LIBRARIES_ONLY = [
  ...DOCUMENTATION,
  "usr/lib/x86_64-linux-gnu/gconv",
  "usr/lib/aarch64-linux-gnu/gconv",
  "usr/share/initramfs-tools",
];
const PASSWD =
  "root:x:0:0:root:/root:/bin/sh\nnginx:x:101:101:nginx:/var/cache/nginx:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n";
const GROUP = "root:x:0:\nnginx:x:101:\nnogroup:x:65534:\n";

const NGINX_CONF = `user nginx;
worker_processes 1;
error_log /dev/stderr warn;
pid /run/nginx.pid;
events { worker_connections 1024; }
http {
  include /etc/nginx/mime.types;
  default_type application/octet-stream;
  access_log /dev/stdout;
  sendfile on;
  keepalive_timeout 65;
  include /etc/nginx/conf.d/*.conf;
}
`;
const NGINX_SITE = `server {
  listen 80;
  server_name localhost;
  location / {
    root /usr/share/nginx/html;
    index index.html;
  }
}
`;

const busyboxBase = {
  // The dynamic one: a static glibc cannot look names up.
  packages: ["busybox", "libc6"],
  drop: LIBRARIES_ONLY,
  busyboxApplets: true,
  directories: ["tmp", "root", "run", "var/tmp", "etc"],
  files: { "etc/passwd": { content: PASSWD }, "etc/group": { content: GROUP } },
} as const;

/** What socat and its library dependencies are, for tests that need UDP, half-closed connections or a simple echo. */
const SOCAT = [
  "socat",
  "libc6",
  "libssl3",
  "libwrap0",
  "libnsl2",
  "libtirpc3",
  "libgssapi-krb5-2",
  "libkrb5-3",
  "libk5crypto3",
  "libkrb5support0",
  "libcom-err2",
  "libkeyutils1",
];

/** drill asks a name server for any type over UDP or TCP; getent resolves as programs do, through the search list. */
const LOOKUP = ["ldnsutils", "libldns3", "libc-bin"];

const nginx = (tag: string): ImageRecipe => ({
  reference: `docker.io/library/nginx:${tag}`,
  packages: ["nginx", "nginx-common", "libc6", "libcrypt1", "libpcre2-8-0", "libssl3", "zlib1g", "busybox"],
  drop: [...LIBRARIES_ONLY, "etc/nginx/sites-enabled", "etc/init.d"],
  busyboxApplets: true,
  directories: ["tmp", "root", "run", "var/cache/nginx", "var/log/nginx", "var/lib/nginx/body"],
  files: {
    "etc/passwd": { content: PASSWD },
    "etc/group": { content: GROUP },
    "etc/nginx/nginx.conf": { content: NGINX_CONF },
    "etc/nginx/conf.d/default.conf": { content: NGINX_SITE },
  },
  links: { "var/log/nginx/access.log": "/dev/stdout", "var/log/nginx/error.log": "/dev/stderr" },
  config: {
    Cmd: ["nginx", "-g", "daemon off;"],
    Env: [PATH, `NGINX_VERSION=${tag}`],
    ExposedPorts: { "80/tcp": {} },
    StopSignal: "SIGQUIT",
  },
});

export const IMAGES: readonly ImageRecipe[] = [
  {
    reference: "registry.k8s.io/pause:3.10",
    packages: ["catatonit"],
    drop: DOCUMENTATION,
    links: { pause: "/usr/bin/catatonit" },
    config: { Entrypoint: ["/pause", "-P"], Env: [PATH], User: "65535:65535" },
  },
  { ...busyboxBase, reference: "docker.io/library/busybox:1.35", config: { Cmd: ["sh"], Env: [PATH] } },
  { ...busyboxBase, reference: "docker.io/library/busybox:latest", config: { Cmd: ["sh"], Env: [PATH] } },
  {
    ...busyboxBase,
    reference: "docker.io/kubits/nettools:1.0",
    packages: [...SOCAT, ...LOOKUP, "busybox"],
    config: { Cmd: ["sh"], Env: [PATH] },
  },
  {
    // Libraries that Node.js needs; the program itself and its scripts are mounted from the machine.
    ...busyboxBase,
    reference: "docker.io/kubits/runtime:1.0",
    packages: ["libstdc++6", "libgcc-s1", "libatomic1", ...busyboxBase.packages],
    config: { Cmd: ["sh"], Env: [PATH] },
  },
  nginx("1.14.2"),
  nginx("1.16.1"),
  nginx("latest"),
];
