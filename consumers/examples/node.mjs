// Node with @aws-sdk/client-secrets-manager, for services: cached for five minutes, read again once on a 401.
// `npm install @aws-sdk/client-secrets-manager` beside this file: ES modules do not look in NODE_PATH. Node 22, or 20
// with an SDK from before 2027.
// The consumer policy is enough. The SDK knows AWS_REGION only; AWS_DEFAULT_REGION is what the AWS CLI and boto3 read.
import { GetSecretValueCommand, SecretsManagerClient } from "@aws-sdk/client-secrets-manager";

const client = new SecretsManagerClient({
  region: process.env.AWS_REGION ?? process.env.AWS_DEFAULT_REGION,
  endpoint: process.env.AWS_ENDPOINT_URL_SECRETS_MANAGER,
});
let cached = { token: "", readAt: 0 };

async function token({ anew = false } = {}) {
  if (anew || Date.now() - cached.readAt > 300_000) {
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
  const other = await token({ anew: true });
  return other === first ? answer : send(other);
}

console.log((await call(process.env.API_URL)).status);
