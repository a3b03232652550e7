// What a user may write in a strict project. It is compiled, not run: `npm run lint`.
import { SecretsManagerClient } from "@aws-sdk/client-secrets-manager";
import {
  NoToken,
  SecretUnreadable,
  TokenError,
  TokenExpired,
  tokenFetch,
  TokenReader,
  type TokenSource,
  TokenTooShort,
  WrongEnvironment,
} from "tango-token";

// A double for a user's own tests.
const fixed: TokenSource = {
  token: () => Promise.resolve("of a test"),
  replace: () => Promise.resolve(null),
};

export const sources: TokenSource[] = [
  fixed,
  new TokenReader("token"),
  new TokenReader(["token", "replica"], {
    client: new SecretsManagerClient({ region: "eu-west-1" }),
    logger: console,
    now: () => Date.now() / 1000,
    tokenUrl: process.env.TOKEN_URL,
    ttl: 60,
  }),
];

// Whatever takes a fetch takes this one.
export const call: typeof fetch = tokenFetch(fixed, { refusedStatuses: [401, 403], fetch });

export async function remainingSeconds(reader: TokenReader): Promise<number> {
  try {
    const token: string = await reader.token({ minRemaining: 600 });
    const other: string | null = await reader.replace(token);
    return other === null ? 0 : reader.reads;
  } catch (error) {
    if (error instanceof TokenTooShort) {
      return error.remaining;
    }
    if (error instanceof TokenError) {
      console.log(error.advice ?? error.message);
    }
    throw error;
  }
}

export const kinds: readonly (typeof TokenError)[] = [NoToken, TokenExpired, WrongEnvironment, SecretUnreadable];

// @ts-expect-error -- the seconds have a name
await new TokenReader("token").token(600);
// @ts-expect-error -- a variable that may be missing is not an id
new TokenReader(process.env.TOKEN_SECRET_ID);
