// What a call with tokenFetch does that depends on `fetch`: bodies, redirects, headers, signals.
import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
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

describe("the refused statuses", () => {
  it("must be an array or a Set of integers", () => {
    for (const refusedStatuses of [401, "401", ["401"], [401.5], { 401: true }, new Set(["401"])]) {
      const expected = { name: "TypeError", message: /^refusedStatuses must be / };
      assert.throws(() => tokenFetch(new TokenReader("token"), { refusedStatuses }), expected);
    }
  });

  it("may be a Set", async (t) => {
    const api = await listen(t, (request, response) => {
      response.writeHead(request.headers.authorization === "Bearer second-token" ? 200 : 403).end();
    });
    const call = tokenFetch(await readerOfAnOldToken(), { refusedStatuses: new Set([403]) });
    assert.equal((await call(api.url)).status, 200);
  });
});

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

  const spoiled = {
    locked: (response) => response.body.getReader(),
    cut: (response) => response.text().catch(() => undefined),
  };

  for (const [how, spoil] of Object.entries(spoiled)) {
    it(`is repeated if the body of the refusal is ${how}`, async (t) => {
      const api = await listen(t, (request, response) => {
        const isAccepted = request.headers.authorization === "Bearer second-token";
        response.writeHead(isAccepted ? 200 : 401, { "content-length": "5" });
        response.write("part", () => response.destroy());
      });
      const call = tokenFetch(await readerOfAnOldToken(), {
        fetch: async (input, init) => {
          const response = await fetch(input, init);
          await spoil(response);
          return response;
        },
      });
      assert.equal((await call(api.url)).status, 200);
    });
  }

  it("returns the answer with its body if the secret holds no other token", async (t) => {
    const api = await listen(t, (_request, response) => response.writeHead(401).end("who are you?"));
    await issue("first-token");
    const response = await tokenFetch(new TokenReader("token"))(api.url);
    assert.equal(response.status, 401);
    assert.equal(await response.text(), "who are you?");
  });
});

describe("a call sends what it was given", () => {
  /** Return an API, and a function that calls it with a token that has yet to be read. */
  async function apiOfAFirstCall(t) {
    const api = await listen(t, accepting("first-token"));
    await issue("first-token");
    return { api, call: tokenFetch(new TokenReader("token")) };
  }

  it("if its URL object is used again for the next call", async (t) => {
    const { api, call } = await apiOfAFirstCall(t);
    const url = new URL(api.url);
    const calls = ["1", "2", "3"].map((page) => {
      url.searchParams.set("page", page);
      return call(url);
    });
    await Promise.all(calls);
    const urls = api.requests.map((request) => request.url);
    assert.deepEqual(urls.sort(), ["/?page=1", "/?page=2", "/?page=3"]);
  });

  it("if its URL object leads to plain http right afterwards", async (t) => {
    const { api, call } = await apiOfAFirstCall(t);
    const url = new URL(api.url);
    const calling = call(url);
    url.href = "http://api.example/";
    assert.equal((await calling).status, 200);
  });

  const bytes = new TextEncoder().encode("amount=5");
  const changes = {
    URLSearchParams: [new URLSearchParams({ amount: "5" }), (body) => body.set("amount", "6")],
    FormData: [form(), (body) => body.set("amount", "6")],
    "a Uint8Array": [bytes.slice(), (body) => body.fill(0x36)],
    "an ArrayBuffer": [bytes.slice().buffer, (body) => new Uint8Array(body).fill(0x36)],
    "a view of a part of a buffer": [new DataView(bytes.slice().buffer, 7), (body) => body.setUint8(0, 0x36)],
  };

  for (const [name, [body, change]] of Object.entries(changes)) {
    it(`if its body is changed right afterwards: ${name}`, async (t) => {
      const { api, call } = await apiOfAFirstCall(t);
      const calling = call(api.url, { method: "POST", body });
      change(body);
      await calling;
      const sent = withoutBoundary(api.requests[0]);
      assert.match(sent, /5/);
      assert.doesNotMatch(sent, /6/);
    });
  }

  it("if its body is changed before it is repeated", async (t) => {
    const api = await listen(t, accepting("second-token"));
    const body = new URLSearchParams({ amount: "5" });
    const calling = tokenFetch(await readerOfAnOldToken())(api.url, { method: "POST", body });
    body.set("amount", "6");
    await calling;
    const bodies = api.requests.map((request) => request.body);
    assert.deepEqual(bodies, ["amount=5", "amount=5"]);
  });

  it("if its headers or its settings are changed right afterwards", async (t) => {
    const { api, call } = await apiOfAFirstCall(t);
    const init = { method: "PUT", headers: new Headers({ "X-Own": "kept" }) };
    const calling = call(api.url, init);
    init.headers.set("X-Own", "changed");
    init.method = "DELETE";
    await calling;
    assert.equal(api.requests[0].headers["x-own"], "kept");
    assert.equal(api.requests[0].method, "PUT");
  });

  it("if it is a Request, whose body is taken at once, as by fetch", async (t) => {
    const { api, call } = await apiOfAFirstCall(t);
    const headers = { "X-Own": "kept" };
    const request = new Request(api.url, { method: "POST", body: "amount=5", headers });
    const calling = call(request);
    assert.equal(request.bodyUsed, true);
    request.headers.set("X-Own", "changed");
    assert.equal((await calling).status, 200);
    assert.equal(api.requests[0].headers["x-own"], "kept");
    assert.equal(api.requests[0].body, "amount=5");
    await assert.rejects(call(request), TypeError);
  });

  it("if it is a Request with other settings beside it", async (t) => {
    const { api, call } = await apiOfAFirstCall(t);
    const request = new Request(api.url, { method: "POST", body: "amount=5" });
    await call(request, { method: "PUT", body: new URLSearchParams({ amount: "6" }) });
    assert.equal(api.requests[0].method, "PUT");
    assert.equal(api.requests[0].body, "amount=6");
    assert.equal(request.bodyUsed, false);
  });

  it("if its settings are a Request", async (t) => {
    const { api, call } = await apiOfAFirstCall(t);
    const headers = { "X-Own": "kept" };
    const settings = new Request("https://api.example/", { method: "POST", body: "amount=5", headers });
    await call(api.url, settings);
    assert.equal(api.requests[0].method, "POST");
    assert.equal(api.requests[0].headers["x-own"], "kept");
    assert.equal(api.requests[0].body, "amount=5");
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

  it("is not repeated on its own origin, since it may have had its effect; but the next has the token", async (t) => {
    const api = await listen(t, (request, response) => {
      const answer = request.url === "/moved" ? accepting("second-token") : redirectTo("/moved");
      answer(request, response);
    });
    const call = tokenFetch(await readerOfAnOldToken());
    const response = await call(api.url, { method: "POST", body: "amount=5" });
    assert.equal(response.status, 401);
    assert.deepEqual(
      api.requests.map((request) => request.url),
      ["/", "/moved"],
    );
    assert.equal((await call(api.url, { method: "POST", body: "amount=5" })).status, 200);
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

  it("stops the call at once while the secret is read after a refusal", async (t) => {
    const stop = new AbortController();
    const reason = new Error("too late");
    const api = await listen(t, (_request, response) => response.writeHead(401).end());
    const source = {
      token: async () => "first-token",
      replace: () => {
        stop.abort(reason);
        return new Promise(() => undefined);
      },
    };
    await assert.rejects(tokenFetch(source)(api.url, { signal: stop.signal }), reason);
  });

  it("that is aborted while the API refuses the token leads to no read", async () => {
    const stop = new AbortController();
    const reason = new Error("too late");
    const reader = await readerOfAnOldToken();
    const call = tokenFetch(reader, {
      fetch: async () => {
        stop.abort(reason);
        return new Response(null, { status: 401 });
      },
    });
    await assert.rejects(call("https://api.example/", { signal: stop.signal }), reason);
    assert.equal(reader.reads, 1);
  });

  it("may be shared by hundreds of calls without a warning of Node", async (t) => {
    const warnings = [];
    const warn = (warning) => warnings.push(warning.name);
    process.on("warning", warn);
    t.after(() => process.off("warning", warn));
    await issue("first-token");
    const { signal } = new AbortController();
    const call = tokenFetch(new TokenReader("token"), { fetch: async () => new Response() });
    await Promise.all(Array.from({ length: 400 }, () => call("https://api.example/", { signal })));
    await new Promise(setImmediate); // a warning comes in the next turn
    assert.deepEqual(warnings, []);
    assert.deepEqual(getEventListeners(signal, "abort"), []);
  });
});
