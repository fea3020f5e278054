const NEWLINE = 10;

/** Splits a stream of bytes into lines of UTF-8 text; a last line without a newline counts. Blank lines are left out. */
export async function* readLines(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  let rest: Buffer[] = []; // pieces of a line whose end has not come yet
  for await (const chunk of body) {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let start = 0;
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
      let line: string;
      if (rest.length === 0) line = bytes.toString("utf8", start, end);
      else {
        rest.push(bytes.subarray(start, end));
        line = Buffer.concat(rest).toString("utf8");
        rest = [];
      }
      start = end + 1;
      if (line !== "") yield line;
    }
    if (start < bytes.length) rest.push(bytes.subarray(start));
  }
  if (rest.length > 0) {
    const line = Buffer.concat(rest).toString("utf8");
    if (line.trim() !== "") yield line;
  }
}
