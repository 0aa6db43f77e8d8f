// What the first of three functions does in AWS's sample for AgentCore in Slack, in our own words: it reads the secret,
// verifies the signature, and hands the event to the next function without waiting for it. It writes nothing down, so that
// four deliveries of an event are handed over four times.
// https://github.com/aws-samples/sample-Integrating-Amazon-Bedrock-AgentCore-with-Slack, cdk/lib/slack-stack.ts:168-241

import { createHmac, timingSafeEqual } from 'node:crypto';
import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import { GetSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { serve } from './runtime.js';

const { APP_SECRET, NEXT_FUNCTION } = process.env;
const secrets = new SecretsManagerClient({});
const lambda = new LambdaClient({});

// The sample keeps no copy of the secret either: each event reads it.
async function readSecret() {
  const { SecretString } = await secrets.send(new GetSecretValueCommand({ SecretId: APP_SECRET }));
  return JSON.parse(SecretString);
}

function isSigned(body, timestamp, signature, signingSecret) {
  const expected = Buffer.from(`v0=${createHmac('sha256', signingSecret).update(`v0:${timestamp}:${body}`).digest('hex')}`);
  const given = Buffer.from(signature);
  return given.length === expected.length && timingSafeEqual(given, expected);
}

function answer(statusCode, body) {
  return { statusCode, headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) };
}

async function handler(event) {
  const { body, headers } = event;
  const { type, challenge } = JSON.parse(body);
  if (type === 'url_verification') return answer(200, { challenge });
  const timestamp = headers['x-slack-request-timestamp'];
  const signature = headers['x-slack-signature'];
  if (!timestamp || !signature || Math.abs(Date.now() / 1000 - timestamp) > 300) return answer(401, {});
  const { signingSecret, token } = await readSecret();
  if (!isSigned(body, timestamp, signature, signingSecret)) return answer(401, {});
  await lambda.send(
    new InvokeCommand({
      FunctionName: NEXT_FUNCTION,
      InvocationType: 'Event',
      Payload: JSON.stringify({ event, token }),
    }),
  );
  return answer(200, { ok: true });
}

serve(handler);
