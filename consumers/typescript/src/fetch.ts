import type { TokenSource } from "./reader.js";

type Fetch = typeof globalThis.fetch;
type Input = Parameters<Fetch>[0];
type Init = NonNullable<Parameters<Fetch>[1]>;

const LOOPBACK = new Set(["127.0.0.1", "[::1]", "localhost"]);

export interface TokenFetchOptions {
  /** The statuses by which the API refuses a token. The default is 401 alone; some APIs say 403 to a dead token. */
  readonly refusedStatuses?: readonly number[];
  /** What sends the calls. The default is the global `fetch` at the time of each call. */
  readonly fetch?: Fetch;
}

/**
 * Return a function like `fetch` that sends the token, and sends a call again, once, if its token was replaced.
 *
 * It rejects with TokenError if there is no token, and with TypeError if the URL is plain http, except on a loopback
 * host. A call whose body is a stream is not repeated, and neither is one that was redirected.
 */
export function tokenFetch(source: TokenSource, options: TokenFetchOptions = {}): Fetch {
  const refusedStatuses = new Set(options.refusedStatuses ?? [401]);
  const send: Fetch = options.fetch ?? ((input, init) => globalThis.fetch(input, init));

  return async function fetchWithToken(input: Input, init: Init = {}): Promise<Response> {
    requireHttps(input);
    const signal = signalOf(input, init);
    signal?.throwIfAborted();
    const token = await unlessAborted(source.token(), signal);
    const repeatable = canBeSentAgain(init.body) ? copyOf(input) : undefined;
    const response = await send(input, withToken(input, init, token));
    // If it was redirected, the answer is another request's. To another origin, fetch does not send the token.
    if (!refusedStatuses.has(response.status) || response.redirected) {
      return response;
    }
    const otherToken = await unlessAborted(source.replace(token), signal);
    if (otherToken === null || repeatable === undefined) {
      return response;
    }
    await response.body?.cancel(); // a response that is not read would keep its connection
    return send(repeatable, withToken(input, init, otherToken));
  };
}

function requireHttps(input: Input): void {
  const url = new URL(input instanceof Request ? input.url : input);
  if (url.protocol !== "https:" && !LOOPBACK.has(url.hostname)) {
    throw new TypeError("the token is sent over https only");
  }
}

function signalOf(input: Input, init: Init): AbortSignal | undefined {
  const ownSignal = input instanceof Request ? input.signal : undefined;
  return init.signal ?? ownSignal;
}

/** A request of which one copy has been sent can't be sent again, because its body has been read. */
function copyOf(input: Input): Input {
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

function withToken(input: Input, init: Init, token: string): Init {
  const ownHeaders = input instanceof Request ? input.headers : undefined;
  const headers = new Headers(init.headers ?? ownHeaders);
  headers.set("Authorization", `Bearer ${token}`);
  return { ...init, headers };
}

/** Return what the promise returns. Reject at once if the signal is aborted. */
async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) {
    return promise;
  }
  let stop: (() => void) | undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    stop = () => {
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- fetch rejects with it as it is
      reject(signal.reason);
    };
    signal.addEventListener("abort", stop);
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    if (stop) {
      signal.removeEventListener("abort", stop);
    }
  }
}
