// A KMS key of one's own behind the queue: what it encrypts there, and which role may use it through which service.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AgentStack } from '../../lib/agent/stack';
import { SlackIngressStack } from '../../lib/ingress/stack';
import { agentProps } from '../../lib/settings/agent';
import { ingressProps } from '../../lib/settings/ingress';
import { type Resource, agentDirectory, codeDirectory, newApp, useOfKeys, withImports } from '../support';

const arn = (id: string) => `arn:aws:kms:us-east-1:111122223333:key/${id}`;
const [key, secretsKey] = ['data', 'secrets'].map(arn) as [string, string];
const secret = (name: string) => `arn:aws:secretsmanager:us-east-1:111122223333:secret:${name}-AbCdEf`;
const [read, write] = [['kms:Decrypt'], ['kms:Decrypt', 'kms:GenerateDataKey']];
const path = codeDirectory();
const CODE = Object.fromEntries(
  ['codePath', 'redriveCodePath', 'dispatchCodePath', 'settleCodePath', 'rotationCodePath'].map((name) => [name, path]),
);

/** Returns the template of the agent's stack. */
function deployed(context: Record<string, string>) {
  const app = newApp({ ...CODE, agentCodePath: agentDirectory(), agent: 'true', trello: 'true', files: 'true', rotatingTokens: 'true', ...context });
  const producer = new SlackIngressStack(app, 'Ingress', { ingress: ingressProps });
  return withImports(new AgentStack(app, 'Agent', { ingress: producer.ingress, agent: agentProps }), producer).template;
}

/** Returns what each role may do with keys, by what the role's description calls its owner. A role that may do nothing is left out. */
function uses(template: ReturnType<typeof deployed>): Record<string, unknown> {
  const roles = template.findResources('AWS::IAM::Role') as Record<string, Resource>;
  const policies = Object.values(template.findResources('AWS::IAM::Policy') as Record<string, Resource>).map((it) => it.Properties);
  return Object.fromEntries(
    policies.flatMap(({ Roles, PolicyDocument }) => {
      const used = useOfKeys(PolicyDocument.Statement);
      const [, name] = /what (?:the )?(.*?) may do/.exec(roles[Roles[0].Ref]!.Properties.Description) ?? [];
      return used.length === 0 ? [] : [[name, used]];
    }),
  );
}

test('without a key of your own no role may use a key, and nothing names one', () => {
  assert.doesNotMatch(JSON.stringify(deployed({}).toJSON()), /kms/i);
});

test('the key of the ingress encrypts the secrets that are created, and the logs of the functions', () => {
  const template = deployed({ encryptionKeyArn: key, workspace: 'T0FIRST', moreWorkspaces: 'T0123ABC' });
  for (const type of ['AWS::SecretsManager::Secret', 'AWS::Logs::LogGroup']) {
    const found = Object.values(template.findResources(type) as Record<string, Resource>);
    assert.ok(found.length >= 3, type);
    assert.deepEqual([...new Set(found.map((it) => it.Properties.KmsKeyId))], [key], type);
  }
});

test('each role may use it through the services that it calls, and through no other; the agent may not use it', () => {
  const ofSecrets = [['secretsmanager', read, key]];
  assert.deepEqual(uses(deployed({ encryptionKeyArn: key })), {
    // It receives from the queue, and sends to the dead-letter queue.
    dispatcher: [
      ['dynamodb', read, key],
      ['sqs', write, key],
    ],
    // It deletes messages and changes their visibility, for which SQS uses no key.
    'agent-settle': [['dynamodb', read, key], ...ofSecrets],
    'token-rotation': [
      ['dynamodb', read, key],
      ['secretsmanager', write, key],
    ],
    'gateway with what agent-settle does in Slack': ofSecrets,
    // For Slack and for Trello, in one statement.
    "gateway with the agent's tools": ofSecrets,
  });
});

test('the schedules of approvals may use it through SQS alone, to send', () => {
  const asking = uses(deployed({ encryptionKeyArn: key, approvals: '{"create_card":"asker"}' }));
  assert.deepEqual(asking, { ...uses(deployed({ encryptionKeyArn: key })), 'schedules of agent-settle': [['sqs', write, key]] });
});

test('your own secrets are decrypted with their key by whoever reads them, and by nobody else', () => {
  const own = { botTokenSecretArn: secret('bot'), trelloSecretArn: secret('trello'), secretsKeyArn: secretsKey };
  const ofSecrets = [['secretsmanager', read, secretsKey]];
  assert.deepEqual(uses(deployed(own)), {
    'agent-settle': ofSecrets,
    'token-rotation': [['secretsmanager', write, secretsKey]],
    'gateway with what agent-settle does in Slack': ofSecrets,
    "gateway with the agent's tools": ofSecrets,
  });
});

test("the app's credentials, which are created, have the other key: it is for reading alone", () => {
  const both = uses(deployed({ botTokenSecretArn: secret('bot'), secretsKeyArn: secretsKey, encryptionKeyArn: key }));
  assert.deepEqual(both['token-rotation'], [
    ['dynamodb', read, key],
    ['secretsmanager', write, secretsKey],
    ['secretsmanager', read, key],
  ]);
});

test('of further workspaces a secret that is given has the key too', () => {
  const template = deployed({ workspace: 'T0FIRST', moreWorkspaces: `T0123ABC=${secret('more')}`, secretsKeyArn: secretsKey });
  assert.deepEqual(uses(template)['gateway with what agent-settle does in Slack'], [['secretsmanager', read, secretsKey]]);
});
