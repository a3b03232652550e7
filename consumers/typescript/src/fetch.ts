import type { TokenSource } from "./reader.js";
import { unlessAborted } from "./waiting.js";

type Fetch = typeof globalThis.fetch;
type Input = Parameters<Fetch>[0];
type Init = NonNullable<Parameters<Fetch>[1]>;
type Body = NonNullable<Init["body"]>;

/** What a call sends, as it was when the call was made. */
interface Call {
  readonly input: string | Request;
  readonly url: string;
  readonly settings: Init;
  readonly headers: Headers;
  readonly signal: AbortSignal | undefined;
  readonly isRepeatable: boolean;
}

const LOOPBACK = new Set(["127.0.0.1", "[::1]", "localhost"]);

export interface TokenFetchOptions {
  /** The statuses by which the API refuses a token. The default is 401 alone; some APIs say 403 to a dead token. */
  readonly refusedStatuses?: readonly number[] | ReadonlySet<number>;
  /** What sends the calls. The default is the global `fetch` at the time of each call. */
  readonly fetch?: Fetch;
}

/**
 * Return a function like `fetch` that sends the token, and sends a call again, once, if its token was replaced.
 *
 * Throws TypeError if `refusedStatuses` is not an array or a Set of integers.
 *
 * The function rejects with TokenError if there is no token, and with TypeError if the URL is plain http, except on a
 * loopback host. A call whose body is a stream is not repeated, and neither is one that was redirected.
 */
export function tokenFetch(source: TokenSource, options: TokenFetchOptions = {}): Fetch {
  const refusedStatuses = checkedStatuses(options.refusedStatuses ?? [401]);
  const send: Fetch = options.fetch ?? ((input, init) => globalThis.fetch(input, init));

  return async function fetchWithToken(input: Input, init: Init = {}): Promise<Response> {
    const call = take(input, init);
    requireHttps(call.url);
    const token = await unlessAborted(() => source.token(), call.signal);
    const repeatable = copyOf(call);
    const response = await send(call.input, withToken(call, token));
    if (!refusedStatuses.has(response.status) || !isOfSameOrigin(call, response)) {
      return response;
    }
    const otherToken = await unlessAborted(() => source.replace(token), call.signal);
    // If it was redirected, its first request may have had its effect.
    if (otherToken === null || repeatable === undefined || response.redirected) {
      return response;
    }
    void discard(response);
    return send(repeatable, withToken(call, otherToken));
  };
}

function checkedStatuses(statuses: unknown): ReadonlySet<unknown> {
  const isCollection = Array.isArray(statuses) || statuses instanceof Set;
  const checked = new Set<unknown>(isCollection ? statuses : []);
  if (!isCollection || ![...checked].every(Number.isInteger)) {
    throw new TypeError("refusedStatuses must be an array or a Set of integers, such as [401, 403]");
  }
  return checked;
}

/** Take all that is to be sent. Later changes of the URL, the headers or the body have no effect, as with `fetch`. */
function take(input: Input, init: Init): Call {
  const settings = settingsOf(init);
  if (init.body) {
    settings.body = takeBody(init.body);
  }
  if (input instanceof Request) {
    return takeRequest(input, settings);
  }
  const url = String(input);
  return {
    input: url,
    url,
    settings,
    headers: new Headers(init.headers),
    signal: init.signal ?? undefined,
    isRepeatable: canBeSentAgain(init.body),
  };
}

/** The settings may change what the request says, and may have more that only the function that sends knows. */
function takeRequest(input: Request, settings: Init): Call {
  const request = new Request(input, settings);
  const { body, ...others } = settings; // the body is in the request now
  return {
    input: request,
    url: request.url,
    settings: others,
    headers: new Headers(request.headers),
    signal: request.signal,
    isRepeatable: canBeSentAgain(body),
  };
}

/** Copy all that a fetch reads. If `init` is a Request, its properties are not its own: a spread would miss them. */
function settingsOf(init: Init): Init {
  const settings: Record<string, unknown> = {};
  for (const name in init) {
    settings[name] = init[name as keyof Init];
  }
  return settings;
}

function takeBody(body: Body): Body {
  if (body instanceof URLSearchParams) {
    return new URLSearchParams(body);
  }
  if (body instanceof FormData) {
    return copyOfForm(body);
  }
  if (body instanceof ArrayBuffer) {
    return body.slice();
  }
  if (ArrayBuffer.isView(body)) {
    return new Uint8Array(body.buffer, body.byteOffset, body.byteLength).slice();
  }
  return body; // a text and a Blob never change, and a stream is read once
}

function copyOfForm(form: FormData): FormData {
  const copy = new FormData();
  for (const [name, value] of form) {
    copy.append(name, value);
  }
  return copy;
}

function requireHttps(address: string): void {
  const url = new URL(address);
  if (url.protocol !== "https:" && !LOOPBACK.has(url.hostname)) {
    throw new TypeError("the token is sent over https only");
  }
}

/** Return what sends the call again, if that can be done. A Request can be sent once, because its body is read. */
function copyOf({ input, isRepeatable }: Call): string | Request | undefined {
  if (!isRepeatable) {
    return undefined;
  }
  return input instanceof Request ? input.clone() : input;
}

function canBeSentAgain(body: Init["body"]): boolean {
  if (body === undefined || body === null || typeof body === "string") {
    return true;
  }
  if (body instanceof ArrayBuffer || ArrayBuffer.isView(body)) {
    return true;
  }
  return body instanceof URLSearchParams || body instanceof Blob || body instanceof FormData;
}

/** Return false if the call was redirected to another origin: fetch does not send the token there. */
function isOfSameOrigin(call: Call, response: Response): boolean {
  return !response.redirected || new URL(response.url).origin === new URL(call.url).origin;
}

/** Give up a response that nobody will read, because it would keep its connection. */
async function discard(response: Response): Promise<void> {
  try {
    await response.body?.cancel();
  } catch {
    // Somebody else reads it, or it was cut.
  }
}

function withToken({ settings, headers }: Call, token: string): Init {
  const ownHeaders = new Headers(headers);
  ownHeaders.set("Authorization", `Bearer ${token}`);
  return { ...settings, headers: ownHeaders };
}
