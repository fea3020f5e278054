import assert from "node:assert/strict";
import { test } from "node:test";
import { formatDuration, parseDuration } from "./duration.ts";
import { UsageError, defineFlags, describeFlags, parseFlags } from "./flags.ts";

const flags = defineFlags({
  "leader-elect": { type: "boolean", default: true, help: "Elect a leader." },
  v: { type: "integer", default: 0, shorthand: "v", help: "Verbosity." },
  "secure-port": { type: "integer", default: 6443, help: "Port." },
  "etcd-servers": { type: "strings", default: [], help: "Endpoints." },
  "node-labels": { type: "map", default: {}, help: "Labels." },
  "sync-period": { type: "duration", default: 60_000, help: "Period." },
  mode: { type: "string", default: "iptables", choices: ["iptables", "nftables"], help: "Mode." },
});

test("the command line is read as pflag reads it", () => {
  const { values, positional } = parseFlags(flags, {
    argv: [
      "--leader-elect=false",
      "-v=2",
      "--secure-port",
      "7443",
      "reset",
      "--etcd-servers=a,b",
      "--etcd-servers",
      "c",
      "--node-labels=x=1,y=a=b,memory.available<100Mi,z=<",
      "--",
      "-z",
    ],
  });
  assert.deepEqual(values["leader-elect"], false);
  assert.equal(values.v, 2);
  assert.equal(values["secure-port"], 7443);
  assert.deepEqual(values["etcd-servers"], ["a", "b", "c"]);
  assert.deepEqual(values["node-labels"], { x: "1", y: "a=b", "memory.available": "100Mi", z: "<" });
  assert.equal(values["sync-period"], 60_000);
  assert.deepEqual(positional, ["reset", "-z"]);
});

test("flag beats environment beats file", () => {
  const sources = {
    file: { v: 1, "secure-port": 1, "sync-period": "5s", "etcd-servers": ["x"] },
    env: { K_V: "2", K_SECURE_PORT: "2" },
    envPrefix: "K",
  };
  const { values, given } = parseFlags(flags, { ...sources, argv: ["-v", "3"] });
  assert.equal(values.v, 3);
  assert.equal(values["secure-port"], 2);
  assert.equal(values["sync-period"], 5000);
  assert.deepEqual(values["etcd-servers"], ["x"]);
  assert.ok(given.has("v") && !given.has("mode"));
});

for (const [argv, message] of [
  [["--no-such"], /unknown flag: --no-such/],
  [["--secure"], /did you mean --secure-port/],
  [["--constructor=1"], /unknown flag/],
  [["-x"], /unknown shorthand flag: 'x'/],
  [["--secure-port=http"], /must be an integer/],
  [["--leader-elect=maybe"], /must be true or false/],
  [["--sync-period=5"], /must be a duration/],
  [["--mode=ebpf"], /must be one of iptables, nftables/],
  [["--node-labels=x"], /must be key=value pairs/],
  [["--secure-port"], /flag needs an argument/],
] as Array<[string[], RegExp]>) {
  test(`${argv.join(" ")} is refused`, () => {
    assert.throws(
      () => parseFlags(flags, { argv }),
      (error: unknown) => error instanceof UsageError && message.test(error.message),
    );
  });
}

test("durations are Go's", () => {
  assert.equal(parseDuration("1h2m3.5s"), 3_723_500);
  assert.equal(parseDuration("100ms"), 100);
  assert.equal(parseDuration("-1s"), -1000);
  for (const bad of ["", "1", "s", "1 s", "1d"]) assert.equal(parseDuration(bad), undefined);
  assert.equal(formatDuration(3_723_500), "1h2m3.5s");
  assert.equal(formatDuration(90_000), "1m30s");
});

test("help names every flag and its default", () => {
  const help = describeFlags(flags);
  for (const name of Object.keys(flags)) assert.match(help, new RegExp(`--${name}`));
  assert.match(help, /default 6443/);
  assert.match(help, /default 1m0s/);
});
