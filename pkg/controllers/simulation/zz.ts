import { runScenario } from "./scenario.ts";
const t = process.cpuUsage().user;
const w = Date.now();
for (const seed of [5, 7]) await runScenario({ seed, steps: 25, network: false, crashes: false, nodeLoss: false });
console.log((process.cpuUsage().user - t) / 1e3, "cpu ms", Date.now() - w);
