import assert from "node:assert/strict";
import { test } from "node:test";
import { linksThrough, PageLinks } from "./links.ts";

const PREFIX = "/api/v1/namespaces/n/pods/p:80/proxy";
const rewrite = linksThrough(PREFIX, ["10.0.0.1:80", "api.example.com"]);

test("links to the backend lead through the proxy, others stay", () => {
  for (const [link, expected] of [
    ["/rewriteme", `${PREFIX}/rewriteme`],
    ["/a/?b=c#d", `${PREFIX}/a/?b=c#d`],
    ["http://10.0.0.1:80/a", `${PREFIX}/a`],
    ["//10.0.0.1:80/a", `${PREFIX}/a`],
    ["https://api.example.com/a", `${PREFIX}/a`],
    [`${PREFIX}/a`, `${PREFIX}/a`],
    ["http://elsewhere/a", "http://elsewhere/a"],
    ["//elsewhere/a", "//elsewhere/a"],
    ["http://10.0.0.1:80", "http://10.0.0.1:80"],
    ["relative/a", "relative/a"],
    ["?a=b", "?a=b"],
    ["#a", "#a"],
    ["mailto:a@b", "mailto:a@b"],
    ["", ""],
  ] as const)
    assert.equal(rewrite(link), expected, link);
});

const PAGES = [
  [`<a href="/rewriteme">test</a>`, `<a href="${PREFIX}/rewriteme">test</a>`],
  [`<A class=x HREF='/a' title="/b">é</A>`, `<A class=x HREF='${PREFIX}/a' title="/b">é</A>`],
  [`<img src=/a.png><img alt="a > b" src="/b"/>`, `<img src=${PREFIX}/a.png><img alt="a > b" src="${PREFIX}/b"/>`],
  [`<script src="/a.js">"<a href='/b'>"</script ><a href="/c">`, undefined],
  [`<!-- <a href="/a"> --><b href="/b">1 < 2 <3</b><toString href="/c">`, undefined],
  [`<style><a href="/a"></STYLE><link rel=icon href="/c"><a hr`, undefined],
] as const;

test("a page is the same however it is cut in pieces", () => {
  const whole = (html: string, size: number) => {
    const page = new PageLinks(rewrite);
    const bytes = Buffer.from(html);
    const parts: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += size) parts.push(page.push(bytes.subarray(at, at + size)));
    return Buffer.concat([...parts, page.end()]).toString();
  };
  for (const [html, expected] of PAGES) {
    const once = whole(html, html.length * 2);
    if (expected !== undefined) assert.equal(once, expected);
    for (let size = 1; size < html.length; size++) assert.equal(whole(html, size), once, `${size}`);
  }
  assert.equal(
    PAGES.slice(3)
      .map(([html]) => whole(html, 1000))
      .join(""),
    `<script src="${PREFIX}/a.js">"<a href='/b'>"</script ><a href="${PREFIX}/c">` +
      `<!-- <a href="/a"> --><b href="/b">1 < 2 <3</b><toString href="/c">` +
      `<style><a href="/a"></STYLE><link rel=icon href="${PREFIX}/c"><a hr`,
  );
});

test("a tag without an end is not held back for ever", () => {
  const page = new PageLinks(rewrite);
  let passed = 0;
  for (let i = 0; i < 40; i++) passed += page.push(Buffer.from(`<a href="${"x".repeat(10_000)}`)).length;
  assert.ok(passed > 300_000, `${passed}`);
});
