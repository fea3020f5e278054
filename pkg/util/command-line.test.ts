import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { parseCommandLine } from "./command-line.ts";

test("an option that there is none of ends the program with a sentence", () => {
  const printed = mock.method(console, "error", () => undefined);
  const exit = mock.method(process, "exit", (code: number) => {
    throw new Error(`exit ${code}`);
  });
  try {
    const parse = (args: string[]) =>
      parseCommandLine("hack/lab", { args, options: { nodes: { type: "string" } }, allowPositionals: false });
    assert.equal(parse(["--nodes", "2"]).values.nodes, "2");
    for (const [args, pattern] of [
      [["--node=2"], /^hack\/lab: Unknown option '--node'; "hack\/lab --help" lists what there is$/],
      [["--nodes"], /^hack\/lab: Option '--nodes <value>' argument missing; /],
      [["stray"], /^hack\/lab: Unexpected argument 'stray'/],
    ] as const) {
      assert.throws(() => parse([...args]), /exit 2/);
      assert.match(String(printed.mock.calls.at(-1)?.arguments), pattern);
    }
  } finally {
    printed.mock.restore();
    exit.mock.restore();
  }
});
