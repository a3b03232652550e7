export {
  NoToken,
  SecretUnreadable,
  TokenError,
  TokenExpired,
  TokenTooShort,
  WrongEnvironment,
} from "./errors.js";
export { tokenFetch, type TokenFetchOptions } from "./fetch.js";
export { TokenReader, type TokenReaderOptions, type TokenSource } from "./reader.js";
