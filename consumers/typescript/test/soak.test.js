import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { it } from "node:test";
import { fileURLToPath } from "node:url";

import { Clock } from "./tools/clock.js";
import { startServers } from "./tools/servers.js";

const PLAYER = fileURLToPath(new URL("../soak.mjs", import.meta.url));
const DEADLINE_MS = 30_000;

/** Poll the counts of the servers until there have been so many calls. */
async function untilCalls(servers, wanted) {
  const deadline = performance.now() + DEADLINE_MS;
  while ((await servers.counts()).calls < wanted) {
    assert.ok(performance.now() < deadline, `there were not ${wanted} calls in time`);
  }
}

it("the soak's player calls by the clock of its input, and counts what failed", async (t) => {
  const servers = await startServers();
  t.after(() => servers.stop());
  const clock = new Clock();
  const issue = async (token) => {
    const document = { access_token: token, expires_at: clock.now() + 3_600 };
    await servers.change({ secret: "token", document });
    await servers.change({ accepts: [token], refusal: 401 });
  };
  await issue("first-token");
  const player = spawn(process.execPath, [PLAYER, "--loops", "5", "--pause-ms", "1"], {
    env: { ...process.env, TOKEN_SECRET_ID: "token", API_URL: servers.api },
    stdio: ["pipe", "pipe", "inherit"],
  });
  const output = text(player.stdout);

  player.stdin.write(`${clock.now()}\n`);
  await untilCalls(servers, 20);
  await issue("second-token"); // the players replace it
  await untilCalls(servers, 40);
  await servers.change({ accepts: [], refusal: 401 }); // and now nothing helps
  const { calls: before } = await servers.counts();
  await untilCalls(servers, before + 5);
  player.stdin.end();

  const [ready, line] = (await output).split("\n");
  assert.equal(ready, "ready");
  const result = JSON.parse(line);
  const { reads } = await servers.counts();
  assert.equal(result.loops, 5);
  assert.equal(result.reads, reads);
  assert.deepEqual(Object.keys(result.failures), ["HTTP 401"]);
  assert.equal(result.avoidable, result.failures["HTTP 401"]);
  assert.ok(result.calls > result.avoidable);
});
