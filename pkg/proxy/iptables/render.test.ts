import assert from "node:assert/strict";
import { test } from "node:test";
import type { ServicePort } from "../model/types.ts";
import { renderPort } from "./render.ts";

const config = {
  clusterCIDR: "10.244.0.0/16",
  masqueradeAll: false,
  nodePortAddresses: [],
  localhostNodePorts: true,
  nodeIP: "172.31.1.1",
};
const web: ServicePort = {
  id: "default/web:http",
  namespace: "default",
  name: "web",
  protocol: "TCP",
  clusterIP: "10.96.0.5",
  port: 80,
  nodePort: 30390,
  externalIPs: [],
  loadBalancerIPs: [],
  loadBalancerSourceRanges: [],
  affinitySeconds: 0,
  internalTrafficLocal: false,
  externalTrafficLocal: false,
  healthCheckNodePort: 0,
  clusterEndpoints: [
    { ip: "10.244.0.2", port: 8080, local: true },
    { ip: "10.244.1.2", port: 8080, local: false },
  ],
  localEndpoints: [{ ip: "10.244.0.2", port: 8080, local: true }],
  readyLocalEndpoints: 1,
  hasAnyEndpoints: true,
};

function text(port: ServicePort): string {
  const { natChains, dispatch } = renderPort(port, config);
  const lines = [...natChains, ...dispatch].flatMap(([chain, rules]) => rules.map((rule) => `${chain}: ${rule}`));
  return lines
    .join("\n")
    .replaceAll(/ -m comment --comment "[^"]*"/g, "")
    .replaceAll(/-m comment --comment "[^"]*" ?/g, "");
}

test("a NodePort service: cluster IP, node port, two endpoints at even odds", () => {
  assert.equal(
    text(web),
    `KUBE-SVC-CDGGSHYLG3RE2FKL: ! -s 10.244.0.0/16 -m tcp -p tcp -d 10.96.0.5/32 --dport 80 -j KUBE-MARK-MASQ
KUBE-SVC-CDGGSHYLG3RE2FKL: -m statistic --mode random --probability 0.5000000000 -j KUBE-SEP-QA4PSDNF5R2OJOPA
KUBE-SVC-CDGGSHYLG3RE2FKL: -j KUBE-SEP-UIQK3OSOSTRHRPBX
KUBE-EXT-CDGGSHYLG3RE2FKL: -j KUBE-MARK-MASQ
KUBE-EXT-CDGGSHYLG3RE2FKL: -j KUBE-SVC-CDGGSHYLG3RE2FKL
KUBE-SEP-QA4PSDNF5R2OJOPA: -s 10.244.0.2/32 -j KUBE-MARK-MASQ
KUBE-SEP-QA4PSDNF5R2OJOPA: -m tcp -p tcp -j DNAT --to-destination 10.244.0.2:8080
KUBE-SEP-UIQK3OSOSTRHRPBX: -s 10.244.1.2/32 -j KUBE-MARK-MASQ
KUBE-SEP-UIQK3OSOSTRHRPBX: -m tcp -p tcp -j DNAT --to-destination 10.244.1.2:8080
nat KUBE-SERVICES: -m tcp -p tcp -d 10.96.0.5/32 --dport 80 -j KUBE-SVC-CDGGSHYLG3RE2FKL
nat KUBE-NODEPORTS: -m tcp -p tcp --dport 30390 -j KUBE-EXT-CDGGSHYLG3RE2FKL`,
  );
});

test("without endpoints everything is rejected, and nothing is translated", () => {
  const empty = { ...web, clusterEndpoints: [], localEndpoints: [], hasAnyEndpoints: false };
  assert.equal(
    text(empty),
    `filter KUBE-SERVICES: -m tcp -p tcp -d 10.96.0.5/32 --dport 80 -j REJECT --reject-with tcp-reset
filter KUBE-EXTERNAL-SERVICES: -m addrtype --dst-type LOCAL -m tcp -p tcp --dport 30390 -j REJECT --reject-with tcp-reset`,
  );
});

test("external traffic policy Local: only endpoints of this node, and the source address is kept", () => {
  const local = text({ ...web, externalTrafficLocal: true });
  assert.match(local, /KUBE-EXT-\w+: -s 10\.244\.0\.0\/16 -j KUBE-SVC-/);
  assert.match(local, /KUBE-EXT-\w+: -j KUBE-SVL-/);
  assert.equal(local.match(/KUBE-SVL-\w+: -j KUBE-SEP-/g)?.length, 1);
  const none = text({ ...web, externalTrafficLocal: true, localEndpoints: [] });
  assert.match(none, /filter KUBE-EXTERNAL-SERVICES: .*--dport 30390 -j DROP/);
  assert.doesNotMatch(none, /KUBE-SVL-/);
});

test("session affinity remembers the endpoint in both places", () => {
  const sticky = text({ ...web, affinitySeconds: 10 });
  assert.equal(sticky.match(/-m recent --name KUBE-SEP-\w+ --rcheck --seconds 10 --reap -j KUBE-SEP-/g)?.length, 2);
  assert.equal(sticky.match(/KUBE-SEP-\w+: -m recent --name KUBE-SEP-\w+ --set -m tcp/g)?.length, 2);
});
