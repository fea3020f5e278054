/** Lines of container logs: CRI's format, `<RFC3339Nano> <stdout|stderr> <P|F> <text>`, and Docker's json-file format. */

/** A line of a log in the CRI format. */
export interface LogLine {
  /** RFC 3339; "" for a line that is in no known format. */
  readonly time: string;
  readonly stream: string;
  readonly partial: boolean;
  readonly text: Buffer;
}

/** A line that is not in the format is passed on as it is: better odd than lost. */
export function parseLine(line: Buffer): LogLine {
  if (line[0] === 0x7b) return parseJsonLine(line) ?? { time: "", stream: "stdout", partial: false, text: line };
  const first = line.indexOf(0x20);
  const second = line.indexOf(0x20, first + 1);
  const third = line.indexOf(0x20, second + 1);
  const end = third < 0 ? line.length : third;
  const tag = line.toString("latin1", second + 1, end);
  if (first < 0 || second < 0 || !/^[PF]/.test(tag)) return { time: "", stream: "stdout", partial: false, text: line };
  return {
    time: line.toString("latin1", 0, first),
    stream: line.toString("latin1", first + 1, second),
    partial: tag.startsWith("P"),
    text: third < 0 ? Buffer.alloc(0) : line.subarray(third + 1),
  };
}

/** Docker's json-file format, where the text carries its own line end. */
function parseJsonLine(line: Buffer): LogLine | undefined {
  try {
    const { log, stream, time } = JSON.parse(line.toString("utf8")) as {
      log?: unknown;
      stream?: unknown;
      time?: unknown;
    };
    if (typeof log !== "string" || typeof stream !== "string" || typeof time !== "string") return undefined;
    const partial = !log.endsWith("\n");
    return { time, stream, partial, text: Buffer.from(partial ? log : log.slice(0, -1)) };
  } catch {
    return undefined; // a container's own JSON in a log of another format
  }
}
