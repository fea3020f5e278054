import assert from "node:assert/strict";
import { test } from "node:test";
import { networkErrorText } from "./network-errors.ts";

test("errors of the network are told in Go's words", () => {
  const table: readonly [fields: object, text: string][] = [
    [{ code: "ECONNREFUSED", address: "10.0.0.1", port: 80 }, "dial tcp 10.0.0.1:80: connect: connection refused"],
    [{ code: "EHOSTUNREACH", address: "fd00::1", port: 80 }, "dial tcp [fd00::1]:80: connect: no route to host"],
    [{ code: "ENOTFOUND", hostname: "a.example" }, "dial tcp: lookup a.example: no such host"],
    [{ code: "ECONNRESET", message: "socket hang up" }, "EOF"],
    [{ code: "ECONNRESET", message: "read ECONNRESET" }, "read ECONNRESET"],
  ];
  for (const [fields, text] of table) assert.equal(networkErrorText(Object.assign(new Error("x"), fields)), text);
});
