// A service for `python -m local soak`: it calls the API in many loops at once, until its standard input ends.
//
//     node consumers/typescript/soak.mjs --loops 50 --pause-ms 200
//
// It needs `make typescript`, and TOKEN_SECRET_ID, TOKEN_URL, API_URL and AWS's variables. It prints "ready" when it can
// be told the time. Each line of the standard input is what the emulated clock shows, in Unix time; the loops begin
// with the first one. The line "wait" is answered with "called" as soon as each loop has made a whole call since, or
// after a minute with "late". At the end it prints one line of JSON. `failures` counts by kind. Each failure was
// avoidable if the secret always held a token that the API accepts, and could be read since the loop's last call.
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";

import { tokenFetch, TokenReader } from "tango-token";

const CALL_TIMEOUT_MS = 30_000;
const POLL_MS = 5;
const MAX_WAIT_MS = 60_000;
const { values: options } = parseArgs({
  options: {
    loops: { type: "string", default: "50" },
    "pause-ms": { type: "string", default: "200" },
  },
});
const loops = Number(options.loops);
const pauseMs = Number(options["pause-ms"]);

let now = 0;
let isStopped = false;
/** @type {number[]} */
const callsByLoop = Array.from({ length: loops }, () => 0);
/** @type {Record<string, number>} */
const failures = {};
const reader = new TokenReader(process.env.TOKEN_SECRET_ID ?? "", {
  tokenUrl: process.env.TOKEN_URL,
  now: () => now,
});
const callApi = tokenFetch(reader);

/** @param {number} loop */
async function callUntilStopped(loop) {
  while (!isStopped) {
    const failure = await failureOfCall();
    callsByLoop[loop] = callsOf(loop) + 1;
    if (failure) {
      failures[failure] = (failures[failure] ?? 0) + 1;
    }
    await pause(pauseMs);
  }
}

/** @param {number} loop */
function callsOf(loop) {
  return callsByLoop[loop] ?? 0;
}

/** Wait until each loop has made a whole call since. Return whether it has. A call that is under way began before. */
async function allHaveCalled() {
  const deadline = performance.now() + MAX_WAIT_MS;
  const enough = callsByLoop.map((calls) => calls + 2);
  while (enough.some((calls, loop) => callsOf(loop) < calls)) {
    if (performance.now() > deadline) {
      return false;
    }
    await pause(POLL_MS);
  }
  return true;
}

/** Call the API; return what went wrong, or an empty text. */
async function failureOfCall() {
  try {
    const response = await callApi(process.env.API_URL ?? "", { signal: AbortSignal.timeout(CALL_TIMEOUT_MS) });
    await response.arrayBuffer();
    return response.ok ? "" : `HTTP ${response.status}`;
  } catch (error) {
    return error instanceof Error ? error.name : String(error);
  }
}

/** @type {Promise<void>[]} */
let running = [];
console.log("ready");
for await (const line of createInterface({ input: process.stdin })) {
  if (line === "wait") {
    console.log((await allHaveCalled()) ? "called" : "late");
    continue;
  }
  now = Number(line);
  if (running.length === 0) {
    running = callsByLoop.map((_, loop) => callUntilStopped(loop));
  }
}
isStopped = true;
await Promise.all(running);
const calls = callsByLoop.reduce((sum, count) => sum + count, 0);
const counts = Object.values(failures);
const avoidable = counts.reduce((sum, count) => sum + count, 0);
console.log(JSON.stringify({ loops, calls, failures, avoidable, reads: reader.reads }));
