// What a service meets in a crowd, in an outage, and when the API refuses its token for good. Each prints its figures.
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";

import { tokenFetch, TokenReader } from "tango-token";

import { Clock } from "./tools/clock.js";
import { startServers } from "./tools/servers.js";

const HOUR = 3_600;

describe("a service", () => {
  let servers;
  let clock;
  let reader;
  let call;

  before(async () => {
    servers = await startServers();
  });
  after(() => servers.stop());

  beforeEach(async () => {
    clock = new Clock();
    await servers.reset();
    const document = { access_token: "first-token", expires_at: clock.now() + 24 * HOUR };
    await servers.change({ secret: "token", document });
    await servers.change({ accepts: ["first-token"], refusal: 401 });
    reader = new TokenReader("token", { now: clock.now });
    call = tokenFetch(reader);
    await reader.token();
  });

  /** Make calls at once. Return how many were answered with 200, and how often the secret was read for them. */
  async function crowd(size) {
    const earlier = await servers.counts();
    const responses = await Promise.all(Array.from({ length: size }, () => call(servers.api)));
    const served = responses.filter((response) => response.ok);
    const { reads } = await servers.counts();
    return { served: served.length, reads: reads - earlier.reads };
  }

  it("of 100 calls at once reads once after the cache has aged", async (t) => {
    clock.advance(301);
    const { served, reads } = await crowd(100);
    t.diagnostic(`100 calls at once after the cache has aged: ${served} served, reads: ${reads}`);
    assert.deepEqual({ served, reads }, { served: 100, reads: 1 });
  });

  it("is served on while Secrets Manager is down, as long as its token lives", async (t) => {
    clock.advance(HOUR);
    let served = 0;
    let reads = 0;
    const faults = [{ error: "InternalServiceError" }, { unreachable: true }, { error: "AccessDeniedException" }];
    for (const fault of faults) {
      await servers.change({ secret: "token", ...fault });
      for (let minute = 0; minute < 10; minute += 1) {
        clock.advance(60);
        const minuteOf = await crowd(10);
        served += minuteOf.served;
        reads += minuteOf.reads;
      }
    }
    t.diagnostic(`Secrets Manager is down, 23 h of life left: ${served} of 300 calls served, reads: ${reads}`);
    assert.deepEqual({ served, reads }, { served: 300, reads: 30 });
  });

  it("of 50 calls at once reads once for a 401 that stays", async (t) => {
    await servers.change({ accepts: [], refusal: 401 });
    const { served, reads } = await crowd(50);
    t.diagnostic(`50 calls at once with a lasting 401: ${served} served, reads: ${reads}`);
    assert.deepEqual({ served, reads }, { served: 0, reads: 1 });
  });
});
