// Node with @aws-sdk/client-secrets-manager, for services: it caches the token for five minutes, and after a 401 reads the
// secret once more. It needs Node 22, or Node 20 with an SDK from before 2027.
// Run `npm install @aws-sdk/client-secrets-manager` in this file's folder: ES modules do not look in NODE_PATH.
// The consumer policy is enough. The SDK reads only AWS_REGION, and boto3 only AWS_DEFAULT_REGION; the AWS CLI reads both.
import { GetSecretValueCommand, SecretsManagerClient } from "@aws-sdk/client-secrets-manager";

const client = new SecretsManagerClient({
  region: process.env.AWS_REGION ?? process.env.AWS_DEFAULT_REGION,
  endpoint: process.env.AWS_ENDPOINT_URL_SECRETS_MANAGER,
});
let cached = { token: "", readAt: 0 };

async function token({ readAgain = false } = {}) {
  const isOld = Date.now() - cached.readAt > 300_000;
  if (readAgain || isOld) {
    const command = new GetSecretValueCommand({ SecretId: process.env.TOKEN_SECRET_ID });
    const { SecretString } = await client.send(command);
    const { access_token } = JSON.parse(SecretString);
    if (!access_token) throw new Error("no token has been issued yet");
    cached = { token: access_token, readAt: Date.now() };
  }
  return cached.token;
}

export async function call(url) {
  const send = (bearer) => fetch(url, { headers: { Authorization: `Bearer ${bearer}` } });
  const first = await token();
  const answer = await send(first);
  if (answer.status !== 401) return answer;
  const second = await token({ readAgain: true });
  if (second === first) return answer;
  return send(second);
}

console.log((await call(process.env.API_URL)).status);
