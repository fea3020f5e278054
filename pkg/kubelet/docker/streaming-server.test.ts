import assert from "node:assert/strict";
import { test } from "node:test";
import { RealClock, silentLogger } from "#pkg/util/index.ts";
import { dialUpgrade, SPDY_HEADERS } from "../streaming/dial.ts";
import { SpdySession } from "../streaming/spdy.ts";
import { StreamingServer } from "./streaming-server.ts";

const headers = { ...SPDY_HEADERS, "x-stream-protocol-version": "v4.channel.k8s.io" };

/** A client of a command, with the streams that it has opened. */
async function begin(url: string) {
  const { socket, head } = await dialUpgrade(url, headers, AbortSignal.timeout(60_000));
  const session = new SpdySession(socket, { role: "client", head });
  const [error, stdin, stdout] = ["error", "stdin", "stdout"].map((streamtype) => session.open({ streamtype }));
  return { session, error: error!, stdin: stdin!, stdout: stdout! };
}

test("a client that goes before its command has ended troubles nobody", async () => {
  const server = new StreamingServer({ clock: new RealClock(), log: silentLogger });
  try {
    let ended = () => {};
    const over = new Promise<void>((resolve) => (ended = resolve));
    const running = Promise.withResolvers<void>();
    const url = await server.command(["stdin", "stdout"], async ({ stdin, stdout }) => {
      running.resolve();
      stdin!.resume();
      await new Promise((resolve) => stdin!.once("end", resolve));
      stdout!.write("nobody hears this");
      setImmediate(ended);
      return 0;
    });
    const { session } = await begin(url);
    await running.promise;
    session.destroy();
    await over;
    const { error, stdin, stdout } = await begin(
      await server.command(["stdin", "stdout"], async (streams) => {
        for await (const chunk of streams.stdin!) streams.stdout!.write(chunk);
        return 3;
      }),
    );
    stdin.end("still here");
    let text = "";
    for await (const chunk of stdout) text += String(chunk);
    assert.equal(text, "still here");
    let status = "";
    for await (const chunk of error) status += String(chunk);
    assert.equal(JSON.parse(status).details.causes[0].message, "3");
  } finally {
    server.close();
  }
});
