// Each case of consumers/contract.json, played over real HTTP. Readers in other languages play the same cases.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, beforeEach, describe, it } from "node:test";
import { inspect } from "node:util";

import {
  NoToken,
  SecretUnreadable,
  TokenError,
  TokenExpired,
  tokenFetch,
  TokenReader,
  TokenTooShort,
  WrongEnvironment,
} from "tango-token";

import { Clock } from "./tools/clock.js";
import { startServers } from "./tools/servers.js";

const CONTRACT = JSON.parse(readFileSync(new URL("../../contract.json", import.meta.url), "utf8"));
const CLASSES = {
  no_token: NoToken,
  expired: TokenExpired,
  too_short: TokenTooShort,
  wrong_environment: WrongEnvironment,
  unreadable: SecretUnreadable,
};
const COUNTS = ["reads", "calls", "received"]; // what the servers say

class Player {
  shown = []; // what a log could show of the reader and its errors

  constructor(settings, servers) {
    const { secret_ids, token_url, ttl_seconds = 300, refused_statuses = [401], ...unknown } = settings;
    assert.deepEqual(unknown, {}, "a setting that this test does not know");
    this.servers = servers;
    this.clock = new Clock(CONTRACT.start);
    this.reader = new TokenReader(secret_ids, {
      tokenUrl: token_url ?? undefined,
      ttl: ttl_seconds,
      now: this.clock.now,
    });
    this.fetch = tokenFetch(this.reader, { refusedStatuses: refused_statuses });
  }

  async play({ expect = {}, ...step }) {
    const [[kind, options]] = Object.entries(step);
    const results = await this[kind](options);
    const outcome = { ...expect };
    for (const name of COUNTS) {
      delete outcome[name];
    }
    for (const result of results) {
      assert.deepEqual(result, outcome);
    }
    await this.checkCounts(expect);
  }

  async checkCounts(expected) {
    const counts = await this.servers.counts();
    for (const name of COUNTS) {
      if (name in expected) {
        assert.deepEqual(counts[name], expected[name], name);
      }
    }
  }

  async world(change) {
    await this.servers.change(change);
    return [];
  }

  async advance_seconds(seconds) {
    this.clock.advance(seconds);
    return [];
  }

  token({ callers, min_remaining }) {
    return this.atOnce(callers, async () => ({ token: await this.reader.token({ minRemaining: min_remaining }) }));
  }

  replace({ callers, refused }) {
    return this.atOnce(callers, async () => ({ token: await this.reader.replace(refused) }));
  }

  call({ callers, method, body }) {
    return this.atOnce(callers, async () => {
      const response = await this.fetch(this.servers.api, { method, body });
      await response.text();
      return { status: response.status };
    });
  }

  atOnce(callers = 1, act) {
    const oneOutcome = async () => {
      try {
        return await act();
      } catch (error) {
        return this.told(error);
      }
    };
    return Promise.all(Array.from({ length: callers }, oneOutcome));
  }

  told(error) {
    assert.ok(error instanceof TokenError, inspect(error));
    this.show(error);
    const told = { error: Object.keys(CLASSES).find((kind) => error.constructor === CLASSES[kind]) };
    if (error instanceof TokenTooShort) {
      told.remaining = error.remaining;
    }
    return told;
  }

  show(value) {
    this.shown.push(String(value), inspect(value, { depth: Infinity, showHidden: true }), JSON.stringify(value));
  }
}

/** Every token of the case that a text could show. */
function tokensOf(steps) {
  const tokens = steps.map((step) => step.world?.document?.access_token);
  return tokens.filter((token) => typeof token === "string" && token.trim());
}

describe("the contract", () => {
  let servers;

  before(async () => {
    servers = await startServers();
  });
  after(() => servers.stop());
  beforeEach(() => servers.reset());

  for (const { name, reader, steps } of CONTRACT.cases) {
    it(name, async () => {
      const player = new Player(reader, servers);
      for (const step of steps) {
        await player.play(step);
      }
      player.show(player.reader);
      for (const token of tokensOf(steps)) {
        assert.ok(!player.shown.join("\n").includes(token), "a token was shown");
      }
    });
  }
});
