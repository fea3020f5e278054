import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually, useCluster, within } from "../framework/lab.ts";
import { BUSYBOX, pod } from "../framework/manifests.ts";

const context = useCluster("images");
const limit = within(90_000);

interface Shown {
  readonly phase: string;
  readonly waiting: { readonly reason: string; readonly message: string } | undefined;
  readonly image: string;
  readonly imageID: string;
}
async function shown(name: string): Promise<Shown> {
  const { status } = await context.cluster.get<{
    status: { phase: string; containerStatuses: Array<{ state: Partial<Shown>; image: string; imageID: string }> };
  }>("pod", name);
  const [container] = status.containerStatuses;
  return { phase: status.phase, waiting: container?.state.waiting, ...container } as Shown;
}
const waitingFor = (name: string, reason: string) =>
  eventually(`${name} waits: ${reason}`, async () => {
    const { waiting } = await shown(name);
    return waiting?.reason === reason ? waiting.message : undefined;
  });

test("why an image cannot be had is told in the container's state and in events", limit, async () => {
  const { cluster } = context;
  const secrets = { spec: { imagePullSecrets: [{ name: "missing" }] } };
  await cluster.apply([
    pod("absent", { image: "busybox:no-such-tag", ...secrets }),
    pod("misspelt", { image: "Busybox:1" }),
    pod("never", { image: "busybox:not-here", container: { imagePullPolicy: "Never" } }),
  ]);
  const backOff = await waitingFor("absent", "ImagePullBackOff");
  assert.match(
    backOff,
    /^Back-off pulling image "busybox:no-such-tag": ErrImagePull: rpc error: code = NotFound desc = /,
  );
  assert.equal(
    await waitingFor("misspelt", "InvalidImageName"),
    'Failed to apply default image tag "Busybox:1": couldn\'t parse image name "Busybox:1": ' +
      "invalid reference format: repository name (library/Busybox) must be lowercase",
  );
  assert.equal(
    await waitingFor("never", "ErrImageNeverPull"),
    'Container image "busybox:not-here" is not present with pull policy of Never',
  );
  const events = await cluster.kubectl(["get", "events", "--field-selector=involvedObject.name=absent"]);
  for (const said of [
    /Normal +Pulling +pod\/absent +Pulling image "busybox:no-such-tag"/,
    /Warning +Failed +pod\/absent +Failed to pull image "busybox:no-such-tag": rpc error: code = NotFound/,
    /Warning +Failed +pod\/absent +Error: ErrImagePull/,
    /Normal +BackOff +pod\/absent +Back-off pulling image "busybox:no-such-tag"\n/,
    /Warning +FailedToRetrieveImagePullSecret +pod\/absent +Unable to retrieve some image pull secrets \(missing\);/,
  ])
    assert.match(events, said);
});

test("an image is named by its digest, and is what the status names", limit, async () => {
  const { cluster } = context;
  await cluster.apply(pod("by-tag"));
  await cluster.ready("pod/by-tag");
  const { image, imageID } = await shown("by-tag");
  assert.equal(image, `docker.io/library/${BUSYBOX}`);
  assert.match(imageID, /^docker\.io\/library\/busybox@sha256:[0-9a-f]{64}$/);
  const digest = imageID.slice(imageID.indexOf("@"));
  await cluster.apply(pod("by-digest", { image: `busybox${digest}`, command: ["sleep", "600"] }));
  await cluster.ready("pod/by-digest");
  assert.equal((await shown("by-digest")).imageID, imageID);
});

test("an image may be a volume, where the runtime can mount one", limit, async (t) => {
  const { cluster } = context;
  const node = await cluster.get<{ status: { nodeInfo: { containerRuntimeVersion: string } } }>("node", "node-1");
  const { containerRuntimeVersion } = node.status.nodeInfo;
  if (containerRuntimeVersion.startsWith("containerd://1.")) return t.skip(`${containerRuntimeVersion} cannot`);
  const volumeMounts = [{ name: "image", mountPath: "/image" }];
  const volumes = [{ name: "image", image: { reference: "nginx:1.14.2", pullPolicy: "Always" } }];
  await cluster.apply(pod("mounting", { container: { volumeMounts }, spec: { volumes } }));
  await cluster.ready("pod/mounting");
  assert.match(await cluster.exec("mounting", "ls", "/image/usr/sbin"), /^nginx$/m);
  const written = await cluster.try(["exec", "mounting", "--", "touch", "/image/x"]);
  assert.match(written.stderr, /Read-only file system/);
});
