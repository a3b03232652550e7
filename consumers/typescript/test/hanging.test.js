// Reads that hang. The cases wait at the same time, so nothing is reset between them: each has a secret of its own.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { SecretsManagerClient } from "@aws-sdk/client-secrets-manager";
import { TokenReader } from "tango-token";

import { Clock } from "./tools/clock.js";
import { startServers } from "./tools/servers.js";

const TOMORROW = 1_800_086_400;

let servers;

before(async () => {
  servers = await startServers();
});
after(() => servers.stop());

function issue(token, secret) {
  return servers.change({ secret, document: { access_token: token, expires_at: TOMORROW } });
}

describe("a client that never settles", { concurrency: true }, () => {
  const endless = () => new Promise(() => undefined);

  /** Return a client that never answers for the secret "hanging". */
  function clientThatHangs(t) {
    const client = new SecretsManagerClient({ region: "us-east-1" });
    t.after(() => client.destroy());
    const hang = (next) => (call) => (call.input.SecretId === "hanging" ? endless() : next(call));
    client.middlewareStack.add(hang, { step: "initialize" });
    return client;
  }

  /** Assert that this promise settles as a read that hung, within the seconds of one read. */
  async function assertHung(reading, begin) {
    await assert.rejects(reading, { name: "SecretUnreadable", message: /Secrets Manager does not answer/ });
    assert.ok(performance.now() - begin < 13_000);
  }

  it("because its credentials never come holds a call for at most 13 s", { timeout: 20_000 }, async (t) => {
    const client = new SecretsManagerClient({ region: "us-east-1", credentials: endless });
    t.after(() => client.destroy());
    const begin = performance.now();
    const reader = new TokenReader("hanging", { client });
    const replacing = reader.replace("first-token");
    await assertHung(reader.token(), begin);
    assert.equal(await replacing, null);
  });

  it("holds a call for two secrets for at most 13 s too", { timeout: 20_000 }, async (t) => {
    const begin = performance.now();
    const reader = new TokenReader(["hanging", "hanging"], { client: clientThatHangs(t) });
    await assertHung(reader.token(), begin);
  });

  it("leaves a replica its time", { timeout: 20_000 }, async (t) => {
    await issue("first-token", "replica");
    const begin = performance.now();
    const reader = new TokenReader(["hanging", "replica"], { client: clientThatHangs(t), now: new Clock().now });
    assert.equal(await reader.token(), "first-token");
    assert.ok(performance.now() - begin < 13_000);
  });

  it("delays no call that was refused an older token", { timeout: 20_000 }, async (t) => {
    let isHanging = false;
    const client = new SecretsManagerClient({ region: "us-east-1" });
    t.after(() => client.destroy());
    client.middlewareStack.add((next) => (call) => (isHanging ? endless() : next(call)), { step: "initialize" });
    await issue("second-token", "other");
    const clock = new Clock();
    const reader = new TokenReader("other", { client, now: clock.now });
    await reader.token();
    isHanging = true;
    clock.advance(301);
    const reading = reader.token();
    const begin = performance.now();
    assert.equal(await reader.replace("first-token"), "second-token");
    assert.ok(performance.now() - begin < 1_000);
    assert.equal(await reading, "second-token");
  });
});
