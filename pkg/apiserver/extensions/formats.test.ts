import assert from "node:assert/strict";
import { test } from "node:test";
import { formatCheck, isKnownFormat } from "./formats.ts";

test("formats accept what upstream's accept", () => {
  const table: [format: string, good: string[], bad: string[]][] = [
    ["uuid3", ["123e4567-e89b-32d3-a456-426614174000"], ["123e4567-e89b-12d3-a456-426614174000"]],
    ["uuid4", ["123E4567e89b42d3a456426614174000"], ["123e4567-e89b-42d3-c456-426614174000"]],
    ["email", ["a@b", "<a@b.c>", "A <a@b.c>", '"a b"@c.d', "a@[1.2.3.4]"], ["a b@c.d", "a@", "a..b@c.d", ""]],
    ["hostname", ["a", "a-b", "A.COM", "my-host.example.com"], ["ab-c", "x.1", "a_b.com", "-a.com"]],
    ["ipv4", ["1.2.3.4", "01.2.3.4", "::ffff:1.2.3.4"], ["1.2.3", "::1", ""]],
    ["ipv6", ["::1", "1::", "::ffff:1.2.3.4"], ["1.2.3.4", "fe80::1%eth0", "x"]],
    ["cidr", ["1.2.3.4/8", "01.2.3.4/8", "::/0"], ["1.2.3.4/33", "1.2.3.4", "::1/129"]],
    [
      "mac",
      ["00:00:5e:00:53:01", "00-00-5E-00-53-01", "0000.5e00.5301", "02:00:5e:10:00:00:00:01"],
      ["0000.5e00", "00:00-5e:00:53:01", "0:0:0:0:0:0"],
    ],
    ["date", ["2024-02-29"], ["2023-02-30", "2023-1-1", "2023-13-01"]],
    [
      "date-time",
      ["2023-02-28t10:00:00z", "2023-02-28T10:00:00.123+01:00"],
      ["2023-02-28T24:00:00Z", "2023-02-28 10:00:00Z", "2023-02-28T10:00:60Z"],
    ],
    ["byte", ["YQ==", "YWJj"], ["", "YQ", "_-_-"]],
    ["bsonobjectid", ["507f1f77bcf86cd799439011"], ["507f1f77bcf86cd79943901"]],
    ["isbn", ["0321751043", "978-0321751041", "080442957X"], ["0321751044", "978-0321751042"]],
    ["creditcard", ["4111-1111-1111-1111", "5555 5555 5555 4444"], ["4111111111111112", "1"]],
    ["ssn", ["123-45-6789", "123 45 6789"], ["123456789"]],
    ["hexcolor", ["#FFF", "a1b2c3"], ["#abcd", "#12345g"]],
    ["rgbcolor", ["rgb( 1 , 2 , 255 )"], ["rgb(256,0,0)", "rgb(01,0,0)"]],
    ["k8s-short-name", ["a-b"], ["A", "a-", "a.b", "a".repeat(64)]],
    ["k8s-long-name", ["a.b", `${"a".repeat(70)}.b`], ["a..b", "A", "a".repeat(254)]],
  ];
  for (const [format, good, bad] of table) {
    const check = formatCheck(format)!;
    for (const text of good) assert.ok(check(text), `${format} ${text}`);
    for (const text of bad) assert.ok(!check(text), `${format} ${text}`);
  }
  const known: [format: string, type: string | undefined, known: boolean][] = [
    ["datetime", "string", true],
    ["uuid", undefined, true],
    ["int32", "integer", true],
    ["int32", "string", false],
    ["double", "number", true],
    ["uuid", "object", false],
  ];
  for (const [format, type, expected] of known)
    assert.equal(isKnownFormat(format, type), expected, `${format} ${type}`);
});
