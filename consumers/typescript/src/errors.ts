/** There is no token to return. The message says why and what to do, and never contains a token. */
export class TokenError extends Error {
  /** What to do about it, if there is something to say. The message ends with it. */
  readonly advice: string | undefined;

  constructor(problem: string, advice?: string) {
    super(advice ? `${problem}: ${advice}` : problem);
    this.name = new.target.name;
    this.advice = advice;
  }
}

/** No token has been issued yet: the secret is missing, has no value, or holds the keeper's first document. */
export class NoToken extends TokenError {}

/** The secret holds an expired token. The keeper's alarms say why it has not been renewed. */
export class TokenExpired extends TokenError {}

/** The best token lasts less than `minRemaining`, only `remaining` seconds. `token()` still returns it. */
export class TokenTooShort extends TokenError {
  readonly remaining: number;

  constructor(problem: string, remaining: number) {
    super(problem);
    this.remaining = remaining;
  }
}

/** The token came from another `tokenUrl` than the one that this service expects. */
export class WrongEnvironment extends TokenError {}

/** Secrets Manager did not answer or refused, or the secret is not a token document; and no token was cached. */
export class SecretUnreadable extends TokenError {}

/** Return one error that says what each secret's error says. It is of the first one's class. */
export function combined(errors: readonly TokenError[]): TokenError | undefined {
  const first = errors[0];
  if (first === undefined || errors.length === 1) {
    return first;
  }
  const ErrorClass = first.constructor as new (problem: string) => TokenError;
  const messages = errors.map((error) => error.message);
  return new ErrorClass(messages.join("; "));
}

/** Return a new error that says the same: each caller may add to its own, and its stack shows where it was called. */
export function renewed(error: TokenError): TokenError {
  const ErrorClass = error.constructor as new (problem: string) => TokenError;
  return Object.assign(new ErrorClass(error.message), { advice: error.advice });
}
