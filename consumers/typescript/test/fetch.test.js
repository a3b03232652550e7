// What a call with tokenFetch does that depends on `fetch`: bodies, redirects, headers, signals.
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";

import { SecretsManagerClient } from "@aws-sdk/client-secrets-manager";
import { tokenFetch, TokenReader } from "tango-token";

import { accepting, listen } from "./tools/http.js";
import { startServers } from "./tools/servers.js";

const TOMORROW = Date.now() / 1000 + 86_400;

let servers;

before(async () => {
  servers = await startServers();
});
after(() => servers.stop());
beforeEach(() => servers.reset());

function issue(token) {
  return servers.change({ secret: "token", document: { access_token: token, expires_at: TOMORROW } });
}

/** Return a reader that holds "first-token", after the secret has got "second-token". */
async function readerOfAnOldToken() {
  await issue("first-token");
  const reader = new TokenReader("token");
  await reader.token();
  await issue("second-token");
  return reader;
}

function redirectTo(url, status = 307) {
  return (_request, response) => response.writeHead(status, { location: url }).end();
}

function form() {
  const fields = new FormData();
  fields.set("amount", "5");
  return fields;
}

describe("a call that was refused", () => {
  const bodies = {
    "no body": undefined,
    "a string": "amount=5",
    "an ArrayBuffer": new TextEncoder().encode("amount=5").buffer,
    "a Uint8Array": new TextEncoder().encode("amount=5"),
    URLSearchParams: new URLSearchParams({ amount: "5" }),
    "a Blob": new Blob(["amount=5"]),
    FormData: form(),
  };

  for (const [name, body] of Object.entries(bodies)) {
    it(`is repeated with the same body: ${name}`, async (t) => {
      const api = await listen(t, accepting("second-token"));
      const call = tokenFetch(await readerOfAnOldToken());
      const response = await call(api.url, { method: "POST", body });
      assert.equal(response.status, 200);
      const [first, second] = api.requests;
      assert.equal(withoutBoundary(second), withoutBoundary(first));
      assert.equal(second.body.includes("5"), body !== undefined);
      assert.equal(second.method, "POST");
    });
  }

  it("is repeated as it was if it is a Request", async (t) => {
    const api = await listen(t, accepting("second-token"));
    const call = tokenFetch(await readerOfAnOldToken());
    const headers = { "X-Own": "kept" };
    const request = new Request(`${api.url}orders`, { method: "PUT", body: "amount=5", headers });
    assert.equal((await call(request)).status, 200);
    const [, repeated] = api.requests;
    assert.equal(api.requests.length, 2);
    assert.equal(repeated.method, "PUT");
    assert.equal(repeated.url, "/orders");
    assert.equal(repeated.body, "amount=5");
    assert.equal(repeated.headers["x-own"], "kept");
  });

  it("is not repeated if its body is a stream, but the next call has the other token", async (t) => {
    const api = await listen(t, accepting("second-token"));
    const reader = await readerOfAnOldToken();
    const call = tokenFetch(reader);
    const body = new Blob(["amount=5"]).stream();
    const response = await call(api.url, { method: "POST", body, duplex: "half" });
    assert.equal(response.status, 401);
    assert.equal(api.requests.length, 1);
    assert.equal((await call(api.url)).status, 200);
    assert.equal(api.requests.length, 2);
  });

  it("returns the answer with its body if the secret holds no other token", async (t) => {
    const api = await listen(t, (_request, response) => response.writeHead(401).end("who are you?"));
    await issue("first-token");
    const response = await tokenFetch(new TokenReader("token"))(api.url);
    assert.equal(response.status, 401);
    assert.equal(await response.text(), "who are you?");
  });
});

function withoutBoundary({ body }) {
  return body.replaceAll(/-+[\w-]*formdata[\w-]*/gi, "BOUNDARY");
}

describe("a call that is redirected", () => {
  it("does not take the token to another origin, whose 401 leads to no read", async (t) => {
    const other = await listen(t, accepting("second-token"));
    const api = await listen(t, redirectTo(other.url));
    const reader = await readerOfAnOldToken();
    const response = await tokenFetch(reader)(api.url);
    assert.equal(response.status, 401);
    assert.equal(other.requests.length, 1);
    assert.equal(other.requests[0].headers.authorization, undefined);
    assert.equal(reader.reads, 1);
  });

  it("is not repeated on its own origin either: its first request may have had its effect", async (t) => {
    const api = await listen(t, (request, response) => {
      const answer = request.url === "/moved" ? accepting("second-token") : redirectTo("/moved");
      answer(request, response);
    });
    const response = await tokenFetch(await readerOfAnOldToken())(api.url, { method: "POST", body: "amount=5" });
    assert.equal(response.status, 401);
    assert.deepEqual(
      api.requests.map((request) => request.url),
      ["/", "/moved"],
    );
  });

  it("is returned as it is with redirect: manual", async (t) => {
    const api = await listen(t, redirectTo("/moved"));
    await issue("first-token");
    const response = await tokenFetch(new TokenReader("token"))(api.url, { redirect: "manual" });
    assert.equal(response.status, 307);
  });
});

describe("the token", () => {
  it("is sent to no other host over plain http, and is not even read for it", async () => {
    await issue("first-token");
    const reader = new TokenReader("token");
    const call = tokenFetch(reader);
    for (const input of ["http://api.example/", new URL("http://api.example/"), new Request("http://api.example/")]) {
      await assert.rejects(call(input), { name: "TypeError", message: "the token is sent over https only" });
    }
    assert.equal(reader.reads, 0);
  });

  it("joins the call's own headers, which stay as they are", async (t) => {
    const api = await listen(t, accepting("first-token"));
    await issue("first-token");
    const call = tokenFetch(new TokenReader("token"));
    const headers = new Headers({ "X-Own": "kept", Authorization: "Bearer of-another-time" });
    const response = await call(api.url, { headers });
    assert.equal(response.status, 200);
    assert.equal(api.requests[0].headers["x-own"], "kept");
    assert.equal(headers.get("Authorization"), "Bearer of-another-time");
  });

  it("is sent by the fetch that is given", async () => {
    await issue("first-token");
    const sent = [];
    const call = tokenFetch(new TokenReader("token"), {
      fetch: async (input, init) => {
        sent.push([input, init.headers.get("Authorization")]);
        return new Response();
      },
    });
    await call("https://api.example/");
    assert.deepEqual(sent, [["https://api.example/", "Bearer first-token"]]);
  });
});

describe("a signal", () => {
  it("that is aborted already stops the call before a read", async () => {
    const reader = new TokenReader("token");
    const reason = new Error("too late");
    const call = tokenFetch(reader);
    await assert.rejects(call("https://api.example/", { signal: AbortSignal.abort(reason) }), reason);
    const request = new Request("https://api.example/", { signal: AbortSignal.abort(reason) });
    await assert.rejects(call(request), reason);
    assert.equal(reader.reads, 0);
  });

  it("stops the call while the API does not answer", async (t) => {
    const stop = new AbortController();
    const reason = new Error("too late");
    const api = await listen(t, () => stop.abort(reason));
    await issue("first-token");
    const call = tokenFetch(new TokenReader("token"));
    await assert.rejects(call(api.url, { signal: stop.signal }), reason);
  });

  it("stops the call while Secrets Manager does not answer", async (t) => {
    const stop = new AbortController();
    const reason = new Error("too late");
    const hanging = await listen(t, () => stop.abort(reason));
    const client = new SecretsManagerClient({ endpoint: hanging.url });
    t.after(() => client.destroy());
    const call = tokenFetch(new TokenReader("token", { client }));
    await assert.rejects(call("https://api.example/", { signal: stop.signal }), reason);
  });
});
