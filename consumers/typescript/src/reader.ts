import { inspect } from "node:util";

import type { SecretsManagerClient } from "@aws-sdk/client-secrets-manager";

import { type IssuedToken, parseDocument } from "./document.js";
import { combined, NoToken, renewed, TokenError, TokenExpired, TokenTooShort } from "./errors.js";
import { checkSecretId, Secrets } from "./secrets.js";

const TTL_SECONDS = 300;
// A read that failed, a short token or a refused one leads to another read, but not more often than this.
const PAUSE_SECONDS = 1;
// After a failed read, a token that is still alive is used for this long without another read: each can take many
// seconds.
const OUTAGE_SECONDS = 30;
// A read ends then, of however many secrets, and whatever the client does.
const READ_TIMEOUT_MS = 12_000;

export interface TokenReaderOptions {
  /** The token must have come from here. This refuses a sandbox's token. */
  readonly tokenUrl?: string | undefined;
  /** For how many seconds the token is used before the secret is read again. The default is 300. */
  readonly ttl?: number;
  /** A client for all secrets, for example one with the credentials of another account. */
  readonly client?: SecretsManagerClient;
  /** Is told when a token is used on, replaced or missing; never the token. `console` is one. The default is none. */
  readonly logger?: Logger;
  /** The clock: Unix time in seconds. */
  readonly now?: () => number;
}

export interface Logger {
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}

/** Where `tokenFetch` gets its tokens from. A TokenReader is one; a test may use a simpler one. */
export interface TokenSource {
  token(): Promise<string>;
  replace(refused: string): Promise<string | null>;
}

interface CachedToken extends IssuedToken {
  readonly freshUntil: number; // Unix time; until then the token is used without another read
}

const NOTHING: CachedToken = { text: "", endsAt: 0, freshUntil: 0 };

/**
 * Returns the token from a cache, and reads the secret again after `ttl` seconds or if the token has expired.
 *
 * `secretIds` are names or ARNs. The first is the token secret. The others, such as the ARN of a replica in another
 * region, are tried in turn if the ones before can't be read. The role needs `secretsmanager:GetSecretValue` by the
 * stage AWSCURRENT.
 *
 * Throws TypeError if there is no id, if an ARN is not one of a secret, or if `ttl` is not a finite number of seconds.
 */
export class TokenReader implements TokenSource {
  readonly #secretIds: readonly string[];
  readonly #tokenUrl: string | undefined;
  readonly #ttl: number;
  readonly #logger: Logger | undefined;
  readonly #now: () => number;
  readonly #secrets: Secrets;
  #cached = NOTHING;
  #reading: Promise<void> | undefined; // while the secret is read
  #error: TokenError | undefined; // why the latest read failed
  #readsPausedUntil = 0;
  #refusedToken = ""; // the latest token for which the API's refusal led to a read
  #refusalsPausedUntil = 0;
  #reads = 0;

  constructor(secretIds: string | readonly string[], options: TokenReaderOptions = {}) {
    this.#secretIds = typeof secretIds === "string" ? [secretIds] : [...secretIds];
    checkSecretId(this.#secretIds[0] ?? "");
    this.#secretIds.forEach(checkSecretId);
    this.#tokenUrl = options.tokenUrl;
    this.#ttl = options.ttl ?? TTL_SECONDS;
    checkSeconds("ttl", this.#ttl);
    if (this.#ttl === Infinity) {
      throw new TypeError("ttl must be finite: otherwise a new token would never be read");
    }
    this.#logger = options.logger;
    this.#now = options.now ?? (() => Date.now() / 1000);
    this.#secrets = new Secrets(options.client);
  }

  /** How often the secret was read. */
  get reads(): number {
    return this.#reads;
  }

  /** What `console.log` shows. */
  [inspect.custom](): string {
    const ids = this.#secretIds.map((id) => JSON.stringify(id));
    return `TokenReader(${ids.join(", ")})`;
  }

  /**
   * Return a token that lasts more than `minRemaining` seconds.
   *
   * Rejects with TokenTooShort if the best token does not last that long, with another TokenError if there is no token,
   * and with TypeError if `minRemaining` is not a number of seconds.
   */
  async token({ minRemaining = 0 }: { readonly minRemaining?: number } = {}): Promise<string> {
    checkSeconds("minRemaining", minRemaining);
    if (this.#isFresh() && this.#isLongEnough(minRemaining)) {
      return this.#cached.text;
    }
    if (this.#reading === undefined && this.#isOver(this.#readsPausedUntil)) {
      await this.#startRead(this.#read());
    } else if (!this.#isLongEnough(minRemaining)) {
      // Only one call reads at a time. The others wait for it only if the cached token is of no use to them.
      await this.#reading;
    }
    return this.#bestToken(minRemaining);
  }

  /**
   * Return another token than the one that the API refused, or null if the secret holds no other.
   *
   * If many calls are refused at once, the secret is read only once, and then at most once a second.
   */
  async replace(refused: string): Promise<string | null> {
    while (this.#reading && !this.#hasGoodOtherThan(refused)) {
      await this.#reading;
    }
    if (!this.#hasOtherThan(refused) && this.#mayReadFor(refused)) {
      await this.#startRead(this.#readFor(refused));
    }
    return this.#hasGoodOtherThan(refused) ? this.#cached.text : null;
  }

  #isFresh(): boolean {
    const now = this.#now();
    const freshUntil = this.#cached.freshUntil;
    // If it is fresh for longer than `ttl`, the clock was set back.
    return now < freshUntil && freshUntil <= now + this.#ttl;
  }

  #isLongEnough(minRemaining: number): boolean {
    return this.#now() + minRemaining < this.#cached.endsAt;
  }

  #hasOtherThan(refused: string): boolean {
    return this.#cached.text !== "" && this.#cached.text !== refused;
  }

  #hasGoodOtherThan(refused: string): boolean {
    return this.#hasOtherThan(refused) && this.#isLongEnough(0);
  }

  #isOver(pausedUntil: number): boolean {
    const remaining = pausedUntil - this.#now();
    const wasSetBack = remaining > PAUSE_SECONDS; // the clock: no pause is that long
    return remaining <= 0 || wasSetBack;
  }

  #mayReadFor(refused: string): boolean {
    return refused !== this.#refusedToken || this.#isOver(this.#refusalsPausedUntil);
  }

  /** Return the cached token, or throw the error that explains why it will not do. */
  #bestToken(minRemaining: number): string {
    const { text, endsAt } = this.#cached;
    if (text === "" && this.#error) {
      throw renewed(this.#error);
    }
    if (text === "") {
      throw new NoToken("no token has been read yet");
    }
    const remaining = endsAt - this.#now();
    if (remaining > minRemaining) {
      return text;
    }
    if (remaining > 0) {
      const seconds = remaining.toFixed(0);
      throw new TokenTooShort(`the token has ${seconds} s left, and there is no better one`, remaining);
    }
    throw this.#expired();
  }

  #expired(): TokenExpired {
    const problem = `the token in ${this.#secretIds.join(" or ")} ended at ${utc(this.#cached.endsAt)}`;
    return new TokenExpired(problem, this.#error?.message ?? "there is no newer one; ask the keeper's operators");
  }

  /** Let the others wait for this read, and wait for it. */
  #startRead(read: Promise<void>): Promise<void> {
    this.#reading = read.finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  /** Read the secret because the API has refused the token. */
  async #readFor(refused: string): Promise<void> {
    this.#refusedToken = refused;
    await this.#read();
    this.#refusalsPausedUntil = this.#now() + PAUSE_SECONDS;
    if (this.#hasOtherThan(refused)) {
      this.#log("info", "the API refused the token; the secret has another, which is used from now on");
    } else if (!this.#error) {
      this.#log("warn", "the API refused the token, and the secret has no other; ask the keeper's operators");
    }
  }

  /** Read the secret into the cache. If that fails, a cached token that is still alive is used for a while. */
  async #read(): Promise<void> {
    this.#reads += 1;
    const errors = await this.#tryEachSecret();
    const now = this.#now();
    this.#readsPausedUntil = now + PAUSE_SECONDS;
    this.#error = combined(errors);
    const isAlive = now < this.#cached.endsAt;
    if (this.#error && isAlive) {
      this.#cached = { ...this.#cached, freshUntil: now + Math.min(OUTAGE_SECONDS, this.#ttl) };
    }
    this.#logOutcome(isAlive);
  }

  #log(level: keyof Logger, message: string): void {
    try {
      this.#logger?.[level](message);
    } catch {
      // A log that can't be written must not cost the call its token.
    }
  }

  #logOutcome(isAlive: boolean): void {
    const { text, endsAt } = this.#cached;
    if (text === "") {
      this.#log("error", `there is no token: ${this.#error?.message ?? ""}`);
    } else if (!isAlive) {
      this.#log("error", this.#expired().message);
    } else if (this.#error) {
      this.#log("warn", `the cached token is used on, until ${utc(endsAt)} at the latest: ${this.#error.message}`);
    }
  }

  /** Cache the token of the first secret that can be read. Return one error per secret if none can be read. */
  async #tryEachSecret(): Promise<TokenError[]> {
    const errors: TokenError[] = [];
    const deadline = performance.now() + READ_TIMEOUT_MS;
    for (const secretId of this.#secretIds) {
      // One that hangs must leave the replicas their part of the time.
      const untried = this.#secretIds.length - errors.length;
      const limitMs = Math.trunc((deadline - performance.now()) / untried);
      try {
        const text = await this.#secrets.text(secretId, Math.max(limitMs, 0));
        const issued = parseDocument(secretId, text, this.#tokenUrl);
        const reason = combined(errors);
        if (reason) {
          this.#log("warn", `${secretId} is read instead: ${reason.message}`);
        }
        this.#keep(issued, reason !== undefined);
        return [];
      } catch (error) {
        if (!(error instanceof TokenError)) {
          throw error;
        }
        errors.push(error);
      }
    }
    return errors;
  }

  #keep(issued: IssuedToken, isReplica: boolean): void {
    const cached = this.#cached;
    const isOlder = issued.endsAt < cached.endsAt;
    const wasRefused = cached.text === this.#refusedToken;
    // A replica that lags behind must not bring back an older token, unless the API refused the newer one.
    const kept = isReplica && isOlder && !wasRefused ? cached : issued;
    this.#cached = { text: kept.text, endsAt: kept.endsAt, freshUntil: this.#now() + this.#ttl };
  }
}

function checkSeconds(name: string, value: unknown): void {
  if (typeof value !== "number" || !(value >= 0)) {
    throw new TypeError(`${name} must be a number of seconds, 0 or more`);
  }
}

function utc(unixSeconds: number): string {
  const text = new Date(unixSeconds * 1000).toISOString();
  return text.replace(/\.\d+Z$/, "Z");
}
