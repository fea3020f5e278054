/**
 * AppArmor on machines whose kernel has it, with containerd as with Docker:
 * `hack/lab up --vm --nodes 0`, then `KUBITS_LAB=DIR hack/node --test test-e2e/vm/app-armor.vm-test.ts`.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually, useCluster } from "../framework/lab.ts";
import { BUSYBOX, pod } from "../framework/manifests.ts";

const context = useCluster("app-armor");
const limit = { timeout: 600_000 };
const ANNOTATION = "container.apparmor.security.beta.kubernetes.io/main";
const DEFAULT = /^(cri-containerd\.apparmor\.d|docker-default) \(enforce\)$/;

const profileText = (name: string) =>
  `profile ${name} flags=(attach_disconnected,mediate_deleted) { file, network, capability, signal, deny /tmp/** w, }\n`;

/** Loads a profile into the kernel of every machine. */
async function load(name: string): Promise<void> {
  const { lab } = context.cluster;
  for (const node of lab.nodes) {
    const { stdout } = await lab.run(node, "cat", ["/sys/module/apparmor/parameters/enabled"], { allowFailure: true });
    assert.equal(stdout.trim(), "Y", `${node.name} has no AppArmor`);
    await lab.run(node, "apparmor_parser", ["--replace"], { stdin: profileText(name) });
  }
}

const confined = (type: string, localhostProfile?: string) => ({
  securityContext: { appArmorProfile: { type, ...(localhostProfile === undefined ? {} : { localhostProfile }) } },
});
/** A name of a profile that no other run has loaded. */
const named = (what: string) => `${context.cluster.namespace}-${what}`;

test("containers run under the profile that is theirs, else the pod's, else the runtime's", limit, async () => {
  const { cluster } = context;
  const own = named("own");
  await load(own);
  const pods: ReadonlyArray<readonly [name: string, pod: object, expected: RegExp]> = [
    ["nothing", pod("nothing"), DEFAULT],
    ["by-pod", pod("by-pod", { spec: confined("RuntimeDefault") }), DEFAULT],
    ["unconfined", pod("unconfined", { spec: confined("Unconfined") }), /^unconfined$/],
    [
      "by-container",
      pod("by-container", { spec: confined("Unconfined"), container: confined("RuntimeDefault") }),
      DEFAULT,
    ],
    ["by-name", pod("by-name", { spec: confined("Localhost", own) }), new RegExp(`^${own} \\(enforce\\)$`)],
    ["privileged", pod("privileged", { container: { securityContext: { privileged: true } } }), /^unconfined$/],
  ];
  await cluster.apply(pods.map(([, manifest]) => manifest));
  for (const [name, , expected] of pods) {
    await cluster.ready(`pod/${name}`);
    assert.match((await cluster.exec(name, "cat", "/proc/1/attr/current")).trim(), expected, name);
  }
  const denied = await cluster.try(["exec", "by-name", "--", "touch", "/tmp/x"]);
  assert.match(denied.stderr, /\/tmp\/x: Permission denied/);
  assert.equal(denied.exitCode, 1);
  await cluster.exec("by-name", "touch", "/x");
  await cluster.exec("nothing", "touch", "/tmp/x");
});

test("the annotation that the field replaces still counts, and warns", limit, async () => {
  const { cluster } = context;
  const own = named("own");
  const annotated = pod("annotated") as { metadata: object };
  Object.assign(annotated.metadata, { annotations: { [ANNOTATION]: `localhost/${own}` } });
  const made = await cluster.try(["create", "-f", "-"], { stdin: JSON.stringify(annotated) });
  assert.equal(made.exitCode, 0, made.stderr);
  const warning = `Warning: metadata.annotations[${ANNOTATION}]: deprecated since v1.30; use the "appArmorProfile" field instead`;
  assert.equal(made.stderr.trim(), warning);
  assert.equal(
    await cluster.jsonpath("pod/annotated", "{.spec.containers[0].securityContext.appArmorProfile}"),
    JSON.stringify({ localhostProfile: own, type: "Localhost" }),
  );
  await cluster.ready("pod/annotated");
  assert.equal((await cluster.exec("annotated", "cat", "/proc/1/attr/current")).trim(), `${own} (enforce)`);
});

test("a profile that is not loaded keeps the container from starting until it is", limit, async () => {
  const { cluster } = context;
  const late = named("late");
  await cluster.apply(pod("waiting", { container: { ...confined("Localhost", late), image: BUSYBOX } }));
  const waiting = "{.status.phase} {.status.containerStatuses[0].state.waiting.reason}";
  await eventually("the container cannot be created", async () =>
    /^Pending (CreateContainerError|RunContainerError)$/.test(await cluster.jsonpath("pod/waiting", waiting))
      ? true
      : undefined,
  );
  const { stdout } = await cluster.try(["get", "events", "--field-selector=involvedObject.name=waiting"]);
  assert.match(stdout, new RegExp(`Warning +Failed .*(apparmor profile not found ${late}|apparmor)`));
  await load(late);
  await cluster.ready("pod/waiting");
  assert.equal((await cluster.exec("waiting", "cat", "/proc/1/attr/current")).trim(), `${late} (enforce)`);
});
