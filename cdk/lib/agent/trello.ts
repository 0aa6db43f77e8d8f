// Trello as a tool: the document, the credential as Trello expects it, and the secret that it is in.

import { resolve } from 'node:path';
import * as agentcore from 'aws-cdk-lib/aws-bedrockagentcore';
import type * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import type { Construct } from 'constructs';
import { type SecretStorage, credentialSecret } from './credential';
import type { ToolProps } from './gateway';

/** The target whose tools call Trello. */
export const TRELLO_TARGET = 'trello';

/** The OpenAPI document of the part of Trello's REST API that becomes tools. The local demo uses the same document. */
export const TRELLO_DOCUMENT = resolve(__dirname, '../../tools/trello.openapi.json');

/** The key of the credential in the JSON object that the secret contains. */
export const TRELLO_SECRET_KEY = 'authorization';

/**
 * The header `Authorization: OAuth oauth_consumer_key="…", oauth_token="…"`. Trello wants two values, an API key and a
 * token, and AgentCore adds one credential to a call. As query parameters (`key` and `token`) they would be two; in this
 * header, which Trello takes as well, they are one text. The prefix ends without a space: the Gateway adds one, as it does
 * after `Bearer`.
 */
const OAUTH = agentcore.ApiKeyCredentialLocation.header({
  credentialParameterName: 'Authorization',
  credentialPrefix: 'OAuth',
});

/** Returns how Trello is added to a Gateway, with the credential in this secret. */
export function trelloTools(secret: secretsmanager.ISecret): ToolProps {
  return { document: TRELLO_DOCUMENT, secret, secretKey: TRELLO_SECRET_KEY, credentialLocation: OAUTH };
}

/** Creates a secret with a random value. Somebody replaces the value with Trello's API key and token. */
export function trelloSecret(scope: Construct, id: string, storage: SecretStorage): secretsmanager.Secret {
  return credentialSecret(scope, id, {
    description: `slack-ingress: Trello's API key and token, as {"${TRELLO_SECRET_KEY}": "oauth_consumer_key=\\"…\\", oauth_token=\\"…\\""}`,
    key: TRELLO_SECRET_KEY,
    whyItIsNotRotated: 'Trello creates the key and the token, and Secrets Manager cannot rotate them.',
    ...storage,
  });
}

/** Returns the command that puts Trello's API key and token, which it reads line by line, into a secret. */
export function putTrelloCredential(secretArn: string, region: string): string {
  return (
    `read -rs TRELLO_KEY; read -rs TRELLO_TOKEN; aws secretsmanager put-secret-value --region ${region} --secret-id ${secretArn} ` +
    `--secret-string file:///dev/stdin <<<"{\\"${TRELLO_SECRET_KEY}\\": \\"oauth_consumer_key=\\\\\\"$TRELLO_KEY\\\\\\", oauth_token=\\\\\\"$TRELLO_TOKEN\\\\\\"\\"}"`
  );
}
