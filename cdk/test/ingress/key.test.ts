// A KMS key of one's own: what it encrypts, and which role may use it through which service.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { SlackIngressStack } from '../../lib/ingress/stack';
import { ingressProps } from '../../lib/settings/ingress';
import { type Resource, codeDirectory, ingressIn, newApp, only, redriveIn, roleOf, synthesized, useOfKeys } from '../support';

const arn = (id: string) => `arn:aws:kms:us-east-1:111122223333:key/${id}`;
const [key, secretsKey, topicKey] = ['data', 'secrets', 'topic'].map(arn) as [string, string, string];
const secret = 'arn:aws:secretsmanager:us-east-1:111122223333:secret:slack-AbCdEf';
const topicArn = 'arn:aws:sns:us-east-1:111122223333:events.fifo';
const path = codeDirectory();
const [read, write] = [['kms:Decrypt'], ['kms:Decrypt', 'kms:GenerateDataKey']];

/** Returns the template that the settings describe. */
function deployed(context: Record<string, string>): Template {
  const app = newApp({ codePath: path, redriveCodePath: path, ...context });
  return Template.fromStack(new SlackIngressStack(app, 'Stack', { ingress: ingressProps }));
}

/** Returns what the ingress and the redrive function may do with keys. */
const uses = (template: Template) => [ingressIn(template), redriveIn(template)].map((fn) => useOfKeys(roleOf(template, fn).statements));

test('without a key of your own no role may use a key, and nothing names one', () => {
  const template = deployed({});
  assert.doesNotMatch(JSON.stringify(template.toJSON()), /kms/i);
});

test('your key encrypts queues, table, secret and logs', () => {
  const template = deployed({ encryptionKeyArn: key });
  const table = only(template, 'AWS::DynamoDB::Table').Properties;
  assert.deepEqual(table.SSESpecification, { SSEEnabled: true, SSEType: 'KMS', KMSMasterKeyId: key });
  const all = (type: string) => Object.values(template.findResources(type) as Record<string, Resource>).map((it) => it.Properties);
  const queues = all('AWS::SQS::Queue').map((it) => [it.KmsMasterKeyId, it.SqsManagedSseEnabled]);
  assert.deepEqual(queues, [[key, false], [key, false]]);
  assert.deepEqual(all('AWS::SecretsManager::Secret').map((it) => it.KmsKeyId), [key]);
  assert.deepEqual(all('AWS::Logs::LogGroup').map((it) => it.KmsKeyId), [key, key, key]);
  // An imported key's policy is not the stack's.
  template.resourceCountIs('AWS::KMS::Key', 0);
});

test('each function may use your key through the services that it calls, and through no other', () => {
  const template = deployed({ encryptionKeyArn: key });
  const shared = [
    ['sqs', write, key],
    ['dynamodb', read, key],
  ];
  assert.deepEqual(uses(template), [[...shared, ['secretsmanager', read, key]], shared]);
});

test('your own secret is decrypted with its own key, and not with the one for what is created', () => {
  const own = { signingSecretArn: secret, secretsKeyArn: secretsKey };
  assert.deepEqual(uses(deployed(own)), [[['secretsmanager', read, secretsKey]], []]);
  const both = uses(deployed({ ...own, encryptionKeyArn: key }));
  assert.deepEqual(both[0]!.at(-1), ['secretsmanager', read, secretsKey]);
  assert.equal(both[0]!.length, 3);
  const without = uses(deployed({ signingSecretArn: secret, encryptionKeyArn: key }));
  assert.deepEqual(without[0]!.map(([service]) => service), ['sqs', 'dynamodb']);
});

test("a topic's key may be used through SNS, by both functions, and then there is nothing of SQS", () => {
  const template = deployed({ topicArn, topicKeyArn: topicKey, encryptionKeyArn: key });
  const shared = [
    ['sns', write, topicKey],
    ['dynamodb', read, key],
  ];
  assert.deepEqual(uses(template), [[...shared, ['secretsmanager', read, key]], shared]);
  assert.deepEqual(uses(deployed({ topicArn })), [[], []]);
});

test("a key of your app's gets the statement that CloudWatch Logs needs, for log groups of this account and region alone", () => {
  const template = synthesized((scope) => ({ encryptionKey: new kms.Key(scope, 'Key') }));
  const { KeyPolicy } = only(template, 'AWS::KMS::Key').Properties;
  const ofLogs = KeyPolicy.Statement.filter((it: any) => JSON.stringify(it.Principal).includes('logs.'));
  const [partition, region, account] = ['Partition', 'Region', 'AccountId'].map((name) => ({ Ref: `AWS::${name}` }));
  const groups = { 'Fn::Join': ['', ['arn:', partition, ':logs:', region, ':', account, ':log-group:*']] };
  assert.deepEqual(ofLogs, [
    {
      Effect: 'Allow',
      Principal: { Service: { 'Fn::Join': ['', ['logs.', region, '.amazonaws.com']] } },
      Action: ['kms:Decrypt*', 'kms:Describe*', 'kms:Encrypt*', 'kms:GenerateDataKey*', 'kms:ReEncrypt*'],
      Resource: '*',
      Condition: { ArnLike: { 'kms:EncryptionContext:aws:logs:arn': groups } },
    },
  ]);
});

test('two secrets with one key need it once', () => {
  const statements = uses(
    synthesized((scope) => {
      const encryptionKey = kms.Key.fromKeyArn(scope, 'Key', secretsKey);
      const signingSecret = secretsmanager.Secret.fromSecretAttributes(scope, 'Secret', { secretCompleteArn: secret, encryptionKey });
      return { encryptionKey, signingSecret };
    }),
  )[0]!;
  assert.deepEqual(statements.map(([service]) => service), ['sqs', 'dynamodb', 'secretsmanager']);
});

for (const [context, problem] of [
  [{ encryptionKeyArn: 'arn:aws:kms:us-east-1:111122223333:alias/mine' }, /encryptionKeyArn must be the ARN of a KMS key, and not of an alias/],
  [{ encryptionKeyArn: 'mine' }, /encryptionKeyArn must be the ARN of a KMS key/],
  [{ secretsKeyArn: secretsKey }, /secretsKeyArn has no effect without a secret of your own/],
  [{ secretsKeyArn: 'mine', signingSecretArn: secret }, /secretsKeyArn must be the ARN of a KMS key/],
  [{ topicKeyArn: topicKey }, /topicKeyArn has no effect without topicArn/],
] as const) {
  test(`refused: ${JSON.stringify(context)}`, () => {
    assert.throws(() => ingressProps(new Stack(newApp({ codePath: path, redriveCodePath: path, ...context }), 'Stack')), problem);
  });
}
