// What the contract can't say of a reader: its settings, its errors' advice, and what it shows.
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";
import { format, inspect } from "node:util";

import { SecretsManagerClient } from "@aws-sdk/client-secrets-manager";
import { NoToken, SecretUnreadable, TokenReader, WrongEnvironment } from "tango-token";

import { Clock } from "./tools/clock.js";
import { listen } from "./tools/http.js";
import { startServers } from "./tools/servers.js";

const ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:token";
const TOMORROW = 1_800_086_400;

let servers;

before(async () => {
  servers = await startServers();
});
after(() => servers.stop());
beforeEach(() => servers.reset());

function issue(token, secret = "token") {
  return servers.change({ secret, document: { access_token: token, expires_at: TOMORROW } });
}

/** Set variables for one test. An undefined one is deleted. */
function setEnvironment(t, variables) {
  for (const [name, value] of Object.entries(variables)) {
    const earlier = process.env[name];
    t.after(() => setVariable(name, earlier));
    setVariable(name, value);
  }
}

function setVariable(name, value) {
  if (value === undefined) {
    delete process.env[name];
  } else {
    process.env[name] = value;
  }
}

describe("a reader's settings", () => {
  it("must name a secret", () => {
    for (const ids of ["", [], ["token", ""]]) {
      assert.throws(() => new TokenReader(ids), { name: "TypeError", message: "name the token secret" });
    }
  });

  it("must not have an ARN of something else", () => {
    const message = /^arn:aws:s3:::bucket is not of the form arn:aws:secretsmanager:/;
    assert.throws(() => new TokenReader(["token", "arn:aws:s3:::bucket"]), { name: "TypeError", message });
  });

  it("must have a ttl in seconds", () => {
    for (const ttl of [-1, NaN, Infinity, "300", "soon"]) {
      assert.throws(() => new TokenReader("token", { ttl }), { name: "TypeError", message: /^ttl must be / });
    }
  });

  it("must have seconds that a token is to last", async () => {
    for (const minRemaining of [-1, NaN, "600", "long", null]) {
      const expected = { name: "TypeError", message: /^minRemaining must be a number of seconds/ };
      await assert.rejects(new TokenReader("token").token({ minRemaining }), expected);
    }
  });

  it("may have a client, which then reads every secret", async (t) => {
    const client = new SecretsManagerClient({ region: "us-east-1" });
    t.after(() => client.destroy());
    setEnvironment(t, { AWS_REGION: undefined });
    await issue("first-token", "replica");
    const clock = new Clock();
    const reader = new TokenReader(["token", "replica"], { client, now: clock.now });
    assert.equal(await reader.token(), "first-token");
  });

  it("may leave the region to AWS_DEFAULT_REGION, as boto3 does", async (t) => {
    setEnvironment(t, { AWS_REGION: undefined, AWS_DEFAULT_REGION: "us-east-1" });
    await issue("first-token");
    assert.equal(await new TokenReader("token", { now: new Clock().now }).token(), "first-token");
  });
});

describe("an error says what to do", () => {
  const nowhere = { AWS_CONFIG_FILE: "/dev/null", AWS_SHARED_CREDENTIALS_FILE: "/dev/null" };

  async function adviceFor(secretId = ARN) {
    const error = await new TokenReader(secretId).token().catch((reason) => reason);
    assert.ok(error instanceof SecretUnreadable, inspect(error));
    assert.ok(error.message.endsWith(`: ${error.advice}`), error.message);
    return error.message;
  }

  it("if there is no region", async (t) => {
    setEnvironment(t, { ...nowhere, AWS_REGION: undefined });
    assert.match(await adviceFor("token"), /set AWS_REGION/);
  });

  it("if there are no credentials", async (t) => {
    const none = { AWS_ACCESS_KEY_ID: undefined, AWS_SECRET_ACCESS_KEY: undefined, AWS_EC2_METADATA_DISABLED: "true" };
    setEnvironment(t, { ...nowhere, ...none });
    assert.match(await adviceFor(), /give the process AWS credentials/);
  });

  it("if nothing listens there", async (t) => {
    setEnvironment(t, { AWS_ENDPOINT_URL_SECRETS_MANAGER: "http://127.0.0.1:1" });
    assert.match(await adviceFor(), /ECONNREFUSED: .* check the network and the region$/);
  });

  it("if the connection is cut", async () => {
    await servers.change({ secret: "token", unreachable: true });
    assert.match(await adviceFor("token"), /ECONNRESET: .* check the network and the region$/);
  });

  it("if the role may not read", async () => {
    await servers.change({ secret: "token", error: "AccessDeniedException" });
    assert.match(await adviceFor("token"), /AccessDeniedException: attach the stack's ConsumerPolicyArn/);
  });

  it("if the secret is missing", async () => {
    const error = await new TokenReader("token").token().catch((reason) => reason);
    assert.ok(error instanceof NoToken, inspect(error));
    assert.match(error.message, /^token is missing, or has no value yet: check the id, the region and the account/);
  });
});

describe("a reader shows no token", () => {
  it("to console.log, JSON and whatever walks over its properties", async () => {
    await issue("first-token");
    const reader = new TokenReader(["token", ARN], { now: new Clock().now });
    await reader.token();
    assert.equal(inspect(reader), `TokenReader("token", "${ARN}")`);
    const shown = [
      format("%s %o %O %j", reader, reader, reader, reader),
      inspect({ reader }, { depth: Infinity, showHidden: true, showProxy: true, customInspect: false }),
      JSON.stringify(Reflect.ownKeys(reader)),
      JSON.stringify(structuredClone({ ...reader })),
    ];
    assert.ok(!shown.join("\n").includes("first-token"));
  });
});

describe("a logger", () => {
  class Lines {
    lines = [];
    info = (message) => this.lines.push(`info: ${message}`);
    warn = (message) => this.lines.push(`warn: ${message}`);
    error = (message) => this.lines.push(`error: ${message}`);
  }

  it("is told once per read what happened to the token, and never the token", async () => {
    const logger = new Lines();
    const clock = new Clock();
    const reader = new TokenReader(["token", "replica"], { logger, now: clock.now });
    await assert.rejects(reader.token(), NoToken);
    clock.advance(1);
    await issue("first-token", "replica");
    await reader.token();
    await issue("first-token");
    await reader.replace("first-token");
    await issue("second-token");
    clock.advance(1);
    await reader.replace("first-token");
    await servers.change({ secret: "token", unreachable: true });
    await servers.change({ secret: "replica", unreachable: true });
    clock.advance(301);
    await Promise.all([reader.token(), reader.token()]);
    clock.advance(86_400);
    await assert.rejects(reader.token());

    const expected = [
      /^error: there is no token: token is missing, .*; replica is missing/,
      /^warn: replica is read instead: token is missing/,
      /^warn: the API refused the token, and the secret has no other; ask the keeper's operators$/,
      /^info: the API refused the token; the secret has another, which is used from now on$/,
      /^warn: the cached token is used on, until 2027-01-16T08:00:00Z at the latest: token can't be read: ECONNRESET/,
      /^error: the token in token or replica ended at 2027-01-16T08:00:00Z: token can't be read: ECONNRESET/,
    ];
    assert.equal(logger.lines.length, expected.length, logger.lines.join("\n"));
    for (const [number, line] of logger.lines.entries()) {
      assert.match(line, expected[number]);
    }
    assert.ok(!/first-token|second-token/.test(logger.lines.join("\n")));
  });
});

describe("while Secrets Manager hangs", () => {
  const document = JSON.stringify({ access_token: "first-token", expires_at: TOMORROW });

  /** Return a reader that has "first-token", which has aged. From now on no answer comes. */
  async function readerWhoseReadHangs(t, hang) {
    const answers = [(response) => response.end(JSON.stringify({ SecretString: document }))];
    const hanging = await listen(t, (_request, response) => (answers.shift() ?? hang)(response));
    setEnvironment(t, { AWS_ENDPOINT_URL_SECRETS_MANAGER: hanging.url });
    const clock = new Clock();
    const reader = new TokenReader(ARN, { now: clock.now });
    await reader.token();
    clock.advance(301);
    return reader;
  }

  const hangs = {
    "before it answers": () => undefined,
    "in the middle of its answer": (response) => {
      response.writeHead(200, { "content-length": "100" });
      response.write("{");
    },
  };

  for (const [when, hang] of Object.entries(hangs)) {
    it(`${when}, one call waits for it, at most 13 s, and the others do not wait`, async (t) => {
      const reader = await readerWhoseReadHangs(t, hang);
      const begin = performance.now();
      const waiting = reader.token();
      const others = await Promise.all(Array.from({ length: 99 }, () => reader.token()));
      assert.ok(performance.now() - begin < 1_000);
      assert.deepEqual(new Set(others), new Set(["first-token"]));
      assert.equal(await waiting, "first-token");
      assert.ok(performance.now() - begin < 13_000);
      assert.equal(reader.reads, 2);
    });
  }
});

describe("a read that fails", () => {
  it("rejects for each call with an error of its own", async () => {
    const reader = new TokenReader("token");
    const errors = await Promise.all([1, 2, 3].map(() => reader.token().catch((reason) => reason)));
    assert.equal(new Set(errors).size, 3);
    assert.equal(new Set(errors.map((error) => `${error.name} ${error.message} ${error.advice}`)).size, 1);
    assert.match(errors[0].advice, /^check the id/);
    assert.equal(reader.reads, 1);
  });

  it("costs no call its token because the log fails too", async () => {
    const fail = () => {
      throw new Error("the disk is full");
    };
    const clock = new Clock();
    const logger = { info: fail, warn: fail, error: fail };
    const reader = new TokenReader(["token", "replica"], { now: clock.now, logger });
    await assert.rejects(reader.token(), NoToken);
    clock.advance(1);
    await issue("first-token", "replica");
    assert.equal(await reader.token(), "first-token");
    await issue("second-token", "replica");
    assert.equal(await reader.replace("first-token"), "second-token");
    await servers.change({ secret: "replica", unreachable: true });
    clock.advance(301);
    assert.equal(await reader.token(), "second-token");
  });
});

describe("a document", () => {
  it("without a value of its own does not take one that was added to all objects", async (t) => {
    t.after(() => {
      delete Object.prototype.expires_at;
      delete Object.prototype.token_url;
    });
    const tokenUrl = "https://auth.example/token";
    const { now } = new Clock();
    await servers.change({ secret: "token", document: { access_token: "first-token" } });
    await issue("first-token", "other");
    Object.defineProperty(Object.prototype, "expires_at", { value: TOMORROW, configurable: true });
    Object.defineProperty(Object.prototype, "token_url", { value: tokenUrl, configurable: true });
    await assert.rejects(new TokenReader("token", { now }).token(), SecretUnreadable);
    await assert.rejects(new TokenReader("other", { now, tokenUrl }).token(), WrongEnvironment);
  });

  it("with a very long text that is not a token is refused at once", async (t) => {
    const document = { access_token: `${"a".repeat(64_000)}\n`, expires_at: TOMORROW };
    const answer = JSON.stringify({ SecretString: JSON.stringify(document) });
    const secrets = await listen(t, (_request, response) => response.end(answer));
    setEnvironment(t, { AWS_ENDPOINT_URL_SECRETS_MANAGER: secrets.url });
    const begin = performance.now();
    await assert.rejects(new TokenReader("token").token(), SecretUnreadable);
    assert.ok(performance.now() - begin < 1_500);
  });
});
