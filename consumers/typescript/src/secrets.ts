import { GetSecretValueCommand, SecretsManagerClient } from "@aws-sdk/client-secrets-manager";

import { NoToken, SecretUnreadable, type TokenError } from "./errors.js";
import { unlessAborted } from "./waiting.js";

// A read usually ends within one second.
const CLIENT_CONFIG = {
  maxAttempts: 2,
  requestHandler: {
    connectionTimeout: 2_000,
    requestTimeout: 4_000,
    // Without this, newer versions of the SDK only log a warning after `requestTimeout`.
    throwOnRequestTimeout: true,
  },
};
const ARN = /^arn:[^:]+:secretsmanager:([^:]+):\d{12}:secret:.+$/;

const RENEW = "the AWS credentials have expired: renew them";
const UNREACHABLE = "Secrets Manager can't be reached: check the network and the region";
const HANGS = "Secrets Manager does not answer: check the network and its VPC endpoint";
// What to do about an error of AWS, of its SDK, or of Node.
const ADVICE: Readonly<Record<string, string>> = {
  RegionIsMissing: "give the secret's ARN, or set AWS_REGION",
  CredentialsProviderError:
    "give the process AWS credentials: a role, AWS_PROFILE, or the variables AWS_ACCESS_KEY_ID …",
  TokenProviderError: "log in again: aws sso login",
  ExpiredToken: RENEW,
  ExpiredTokenException: RENEW,
  UnrecognizedClientException: "AWS does not know the credentials: check them",
  AccessDeniedException:
    "attach the stack's ConsumerPolicyArn to the role, and allow kms:Decrypt if the secret has a key of your own",
  ECONNREFUSED: UNREACHABLE,
  ECONNRESET: UNREACHABLE,
  EHOSTUNREACH: UNREACHABLE,
  ENETUNREACH: UNREACHABLE,
  ENOTFOUND: UNREACHABLE,
  EAI_AGAIN: UNREACHABLE,
  ETIMEDOUT: HANGS,
  TimeoutError: HANGS,
  AbortError: HANGS,
};

/** Throw TypeError if the id is empty, or if it is an ARN but not one of a secret. */
export function checkSecretId(secretId: string): void {
  if (!secretId) {
    throw new TypeError("name the token secret");
  }
  if (secretId.startsWith("arn:") && !ARN.test(secretId)) {
    throw new TypeError(`${secretId} is not of the form arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME`);
  }
}

/** Reads secrets: with the given client, or with one of its own for the region of each ARN. */
export class Secrets {
  readonly #givenClient: SecretsManagerClient | undefined;
  readonly #clients = new Map<string | undefined, SecretsManagerClient>(); // by region

  constructor(client: SecretsManagerClient | undefined) {
    this.#givenClient = client;
  }

  /**
   * Return the secret's text, which is empty if the secret is binary.
   *
   * Throws NoToken if the secret is missing or has no value, and SecretUnreadable for any other reason, also if it
   * takes longer than `limitMs`.
   */
  async text(secretId: string, limitMs: number): Promise<string> {
    const command = new GetSecretValueCommand({ SecretId: secretId, VersionStage: "AWSCURRENT" });
    try {
      const client = this.#clientFor(secretId);
      const abortSignal = AbortSignal.timeout(limitMs);
      // The SDK heeds the signal while it sends, but not while it waits for credentials.
      const response = await unlessAborted(() => client.send(command, { abortSignal }), abortSignal);
      return response.SecretString ?? "";
    } catch (error) {
      throw explained(secretId, codeOf(error));
    }
  }

  #clientFor(secretId: string): SecretsManagerClient {
    if (this.#givenClient) {
      return this.#givenClient;
    }
    const region = regionOf(secretId);
    const existing = this.#clients.get(region);
    if (existing) {
      return existing;
    }
    const client = connect(region);
    this.#clients.set(region, client);
    return client;
  }
}

/** Return the region of an ARN, or the process's own region if the id is a name. */
function regionOf(secretId: string): string | undefined {
  const arn = ARN.exec(secretId);
  if (arn) {
    return arn[1];
  }
  // The SDK reads only AWS_REGION, and boto3 only AWS_DEFAULT_REGION. A service may have one or the other.
  return process.env.AWS_REGION ?? process.env.AWS_DEFAULT_REGION;
}

function connect(region: string | undefined): SecretsManagerClient {
  if (region === undefined) {
    // The SDK looks for one in the configuration file of AWS_PROFILE.
    return new SecretsManagerClient(CLIENT_CONFIG);
  }
  return new SecretsManagerClient({ ...CLIENT_CONFIG, region });
}

/** Return a short name of an error: of AWS ("AccessDeniedException"), the SDK, or Node ("ECONNREFUSED"). */
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) {
    return "Error";
  }
  if (error.message === "Region is missing") {
    return "RegionIsMissing";
  }
  const isFromNode = "code" in error && typeof error.code === "string";
  return isFromNode ? String(error.code) : error.name;
}

/** The SDK's own error is not kept as a cause, because it can hold the response. */
function explained(secretId: string, code: string): TokenError {
  if (code === "ResourceNotFoundException") {
    const advice = "check the id, the region and the account; or the keeper has not run yet";
    return new NoToken(`${secretId} is missing, or has no value yet`, advice);
  }
  return new SecretUnreadable(`${secretId} can't be read: ${code}`, ADVICE[code]);
}
