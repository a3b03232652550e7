export {
  NoToken,
  SecretUnreadable,
  TokenError,
  TokenExpired,
  TokenTooShort,
  WrongEnvironment,
} from "./errors.js";
export { tokenFetch, type TokenFetchOptions } from "./fetch.js";
export { type Logger, TokenReader, type TokenReaderOptions, type TokenSource } from "./reader.js";
