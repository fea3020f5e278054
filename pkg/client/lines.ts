const NEWLINE = 10;

/** Splits a stream of bytes into lines, without their newlines. Empty lines are left out. */
export class LineSplitter {
  /** Pieces of a line whose end has not come yet. */
  #rest: Buffer[] = [];

  /** The lines that end in this chunk, mostly views on it. */
  push(chunk: Uint8Array): Buffer[] {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    const lines: Buffer[] = [];
    let start = 0;
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
      const piece = bytes.subarray(start, end);
      const line = this.#rest.length === 0 ? piece : Buffer.concat([...this.#rest, piece]);
      this.#rest = [];
      start = end + 1;
      if (line.length > 0) lines.push(line);
    }
    if (start < bytes.length) this.#rest.push(bytes.subarray(start));
    return lines;
  }
  /** What came behind the last newline, which counts as a line unless it is blank. */
  end(): Buffer[] {
    const last = Buffer.concat(this.#rest);
    this.#rest = [];
    return last.toString("latin1").trim() === "" ? [] : [last];
  }
}
