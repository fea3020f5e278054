/** Small things every module may use: time, randomness, logging, running commands. Depends on nothing else here. */
export { errorMessage, hasCode, ifExists } from "./errors.ts";
export { backendErrorText, networkErrorText } from "./network-errors.ts";
export { refusePlainHttp } from "./plain-http.ts";
export { type Clock, RealClock, pause, scheduleLimit, sleep, formatTime, formatMicroTime, parseTime } from "./clock.ts";
export { children, type DerElement, readElement } from "./der.ts";
export { Wakeup } from "./wakeup.ts";
export { FakeClock } from "./fake-clock.ts";
export { type Random, SecureRandom, SeededRandom } from "./random.ts";
export { ExpiringMap } from "./expiring-map.ts";
export { growingLru } from "./lru.ts";
export { type ProcessStat, processStat } from "./process-stat.ts";
export { family } from "./metrics/family.ts";
export { Histogram } from "./metrics/histogram.ts";
export { type Logger, silentLogger } from "./logger.ts";
export { type CommandRunner, type CommandResult, CommandError, SpawnRunner } from "./command.ts";
export { parseCommandLine } from "./command-line.ts";
