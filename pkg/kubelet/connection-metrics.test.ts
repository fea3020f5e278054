import assert from "node:assert/strict";
import { test } from "node:test";
import { ConnectionError, observedTransport } from "#pkg/client/index.ts";
import type { Transport, TransportRequest } from "#pkg/client/index.ts";
import { FakeClock } from "#pkg/util/index.ts";
import { ConnectionMetrics } from "./connection-metrics.ts";

test("requests are counted by what came of them, watches from their beginning, and the certificate's time runs", async () => {
  const clock = new FakeClock();
  const answer = async ({ path }: TransportRequest) => {
    await clock.advance(200);
    if (path === "/away") throw new ConnectionError("refused");
    return { status: path === "/absent" ? 404 : 200, headers: {}, body: Buffer.alloc(0) };
  };
  const inner: Transport = {
    request: answer,
    stream: async (request) => ({ ...(await answer(request)), body: (async function* () {})() }),
    close: () => undefined,
  };
  const metrics = new ConnectionMetrics("https://192.0.2.1:6443", () => clock.now() + 60_000);
  const transport = observedTransport(inner, clock, (...request) => metrics.requested(...request));
  const get = (path: string) => ({ method: "GET", path, headers: {} });
  await transport.request(get("/absent"));
  await transport.request({ ...get("/"), method: "PATCH" });
  await transport.stream(get("/"));
  await assert.rejects(transport.request(get("/away")), /refused/);
  metrics.renewalErrors.inc();
  const text = await metrics.text(clock.now());
  for (const line of [
    'rest_client_requests_total{code="404",host="192.0.2.1:6443",method="GET"} 1',
    'rest_client_requests_total{code="200",host="192.0.2.1:6443",method="PATCH"} 1',
    'rest_client_requests_total{code="200",host="192.0.2.1:6443",method="GET"} 1',
    'rest_client_requests_total{code="<error>",host="192.0.2.1:6443",method="GET"} 1',
    'rest_client_request_duration_seconds_bucket{le="0.1",verb="GET",host="192.0.2.1:6443"} 0',
    'rest_client_request_duration_seconds_bucket{le="0.25",verb="GET",host="192.0.2.1:6443"} 3',
    "kubelet_certificate_manager_client_expiration_renew_errors 1",
    "kubelet_certificate_manager_client_ttl_seconds 60",
  ])
    assert.ok(text.split("\n").includes(line), `${line} is not in\n${text}`);
});
