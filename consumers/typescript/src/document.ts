import { NoToken, SecretUnreadable, WrongEnvironment } from "./errors.js";

// Unix time. A later moment can't be written as a date with four digits for the year.
const YEAR_10000 = 253_402_300_800;
const PRINTABLE_ASCII = /^[\x20-\x7e]*$/;

/** What a reader needs of the secret's document. `endsAt` is Unix time, in seconds. */
export interface IssuedToken {
  readonly text: string;
  readonly endsAt: number;
}

/**
 * Return the token of a secret's text.
 *
 * Throws NoToken if the document is the keeper's first one, WrongEnvironment if the token is not from `tokenUrl`, and
 * SecretUnreadable if the text is not a token document.
 */
export function parseDocument(secretId: string, text: string, tokenUrl: string | undefined): IssuedToken {
  const document = parseObject(text);
  if (document === undefined || !Object.hasOwn(document, "access_token")) {
    throw notATokenDocument(secretId);
  }
  if (document.access_token === null) {
    throw new NoToken(`no token has been issued yet: ${secretId} holds the seed; ask the keeper's operators`);
  }
  const endsAt = own(document, "expires_at");
  if (typeof endsAt !== "number" || endsAt < 0 || endsAt >= YEAR_10000) {
    throw notATokenDocument(secretId);
  }
  const token = sendable(document.access_token);
  if (!token) {
    throw notATokenDocument(secretId);
  }
  const actualUrl = own(document, "token_url");
  if (tokenUrl && actualUrl !== tokenUrl) {
    const problem = `${secretId}: its token comes from ${JSON.stringify(actualUrl)}`;
    throw new WrongEnvironment(`${problem}, expected is "${tokenUrl}"`);
  }
  return { text: token, endsAt };
}

/** Return the document's own value: a library can have added the same name to the prototype of all objects. */
function own(document: Record<string, unknown>, name: string): unknown {
  return Object.hasOwn(document, name) ? document[name] : undefined;
}

/**
 * Return the token as HTTP sends it, so without blanks around it. It is empty if a header can't hold it.
 *
 * An HTTP client that can't send a token would show it in its error.
 */
function sendable(token: unknown): string {
  if (typeof token !== "string" || !PRINTABLE_ASCII.test(token)) {
    return "";
  }
  return token.trim();
}

function parseObject(text: string): Record<string, unknown> | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    // The error of JSON.parse shows a part of the text.
    return undefined;
  }
  if (typeof parsed !== "object" || parsed === null) {
    return undefined;
  }
  return parsed as Record<string, unknown>;
}

function notATokenDocument(secretId: string): SecretUnreadable {
  return new SecretUnreadable(`${secretId} is not a token document`, "is it the stack's TokenSecretArn?");
}
