// Bot tokens that expire: the function that gets new ones, its exact rights, its schedule and its alarms.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { REPOSITORY, agentTemplate, codeDirectory, only, roleOf, rustSource } from '../support';

const { template, ingress } = agentTemplate({
  rotationCode: lambda.Code.fromAsset(codeDirectory()),
  workspaces: { first: 'T0FIRST', more: ['T0123ABC'] },
});
const fn = only(template, 'AWS::Lambda::Function', (it) => 'BOT_TOKEN_SECRETS' in it.Properties.Environment.Variables);
const table = only(ingress, 'AWS::DynamoDB::Table');
const secretOf = (text: string) => only(template, 'AWS::SecretsManager::Secret', (it) => it.Properties.Description.includes(text)).id;
const app = secretOf('client_secret');
const tokens = [secretOf('bot token, as'), secretOf('in T0123ABC')];
const alarms = Object.values(template.findResources('AWS::CloudWatch::Alarm'))
  .map((it) => it.Properties)
  .filter((it) => it.Dimensions?.[0].Value.Ref === fn.id);

test('it looks after the secret of each installation, and reads the credentials of the app', () => {
  const { BOT_TOKEN_SECRETS, APP_CREDENTIALS_SECRET, POST_WAIT_SECONDS } = fn.Properties.Environment.Variables;
  assert.deepEqual(BOT_TOKEN_SECRETS, { 'Fn::Join': ['', [{ Ref: tokens[0] }, ',', { Ref: tokens[1] }]] });
  assert.deepEqual([APP_CREDENTIALS_SECRET, POST_WAIT_SECONDS], [{ Ref: app }, undefined]);
});

test('it may write claims and no other item, the bot tokens and no other secret, and read the credentials', () => {
  const allow = (Action: string | string[], Resource: unknown) => ({ Effect: 'Allow', Action, Resource });
  assert.deepEqual(roleOf(template, fn).statements, [
    allow(['logs:CreateLogStream', 'logs:PutLogEvents'], { 'Fn::GetAtt': [fn.Properties.LoggingConfig.LogGroup.Ref, 'Arn'] }),
    {
      ...allow(['dynamodb:DeleteItem', 'dynamodb:PutItem'], { 'Fn::GetAtt': [table.id, 'Arn'] }),
      Condition: { 'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': ['rotation#*'] } },
    },
    allow(
      ['secretsmanager:GetSecretValue', 'secretsmanager:PutSecretValue', 'secretsmanager:UpdateSecretVersionStage'],
      tokens.map((Ref) => ({ Ref })),
    ),
    allow('secretsmanager:GetSecretValue', { Ref: app }),
    allow(['xray:PutTelemetryRecords', 'xray:PutTraceSegments'], '*'),
  ]);
});

test('a secret with a key of its own is read and written by that key, through Secrets Manager alone', () => {
  const keyArn = 'arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab';
  const { template } = agentTemplate((scope) => ({
    rotationCode: lambda.Code.fromAsset(codeDirectory()),
    botToken: secretsmanager.Secret.fromSecretAttributes(scope, 'Bot', {
      secretCompleteArn: 'arn:aws:secretsmanager:us-east-1:111122223333:secret:bot-AbCdEf',
      encryptionKey: kms.Key.fromKeyArn(scope, 'Key', keyArn),
    }),
  }));
  const fn = only(template, 'AWS::Lambda::Function', (it) => 'BOT_TOKEN_SECRETS' in it.Properties.Environment.Variables);
  const ofKey = roleOf(template, fn).statements.filter((it) => JSON.stringify(it.Action).includes('kms:'));
  assert.deepEqual(ofKey, [
    {
      Effect: 'Allow',
      Action: ['kms:Decrypt', 'kms:GenerateDataKey'],
      Resource: keyArn,
      Condition: { StringEquals: { 'kms:ViaService': { 'Fn::Join': ['', ['secretsmanager.', { Ref: 'AWS::Region' }, '.amazonaws.com']] } } },
    },
  ]);
});

test('where tokens expire, the deployment ends with the command that installs the app: a pasted token could not be renewed', () => {
  for (const [name, secret] of [['PutTheBotToken', tokens[0]], ['PutTheBotTokenT0123ABC', tokens[1]]] as const) {
    const { Value } = template.findOutputs(name)[name]!;
    const command = Value['Fn::Join'][1].map((it: string | { Ref: string }) => (typeof it === 'string' ? it : it.Ref)).join('');
    assert.equal(command, `AWS_REGION=AWS::Region slack-dev install --secret-id ${secret} --client-id`);
  }
});

test("the credentials of the app are nobody else's", () => {
  const policies = Object.values(template.findResources('AWS::IAM::Policy')).filter((it) => JSON.stringify(it).includes(`"${app}"`));
  assert.equal(policies.length, 1);
});

test('the Rust source agrees on the prefix of the claims, the time-out and the metrics', () => {
  const source = rustSource('src/rotation');
  assert.match(source, /PREFIX: &str = "rotation#"/);
  // A claim counts as over a minute after the function can be.
  const lease = Number(source.match(/CLAIM_LEASE: Duration = Duration::from_secs\((\d+)\)/)?.[1]);
  assert.equal(fn.Properties.Timeout + 60, lease);
  const metrics = rustSource('src/telemetry/metrics');
  for (const { MetricName } of alarms) assert.ok(metrics.includes(`"${MetricName}"`), MetricName);
});

test('it runs once in a quarter of an hour, and only the schedule may invoke it', () => {
  const rule = only(template, 'AWS::Events::Rule');
  assert.equal(rule.Properties.ScheduleExpression, 'rate(15 minutes)');
  const permission = only(template, 'AWS::Lambda::Permission', (it) => JSON.stringify(it.Properties.FunctionName).includes(`"${fn.id}"`));
  assert.deepEqual(
    [permission.Properties.Principal, permission.Properties.SourceArn],
    ['events.amazonaws.com', { 'Fn::GetAtt': [rule.id, 'Arn'] }],
  );
});

test('a token that is lost raises an alarm at once, one that expires in half an hour and so does silence, one that fails in an hour', () => {
  assert.deepEqual(
    alarms.map((it) => [it.MetricName, it.Statistic, it.Period, it.Threshold, it.DatapointsToAlarm, it.EvaluationPeriods, it.TreatMissingData]),
    [
      ['TokensLost', 'Sum', 900, 0, 1, 2, 'notBreaching'],
      ['TokenRefreshFailures', 'Sum', 900, 0, 4, 5, 'notBreaching'],
      ['TokensExpiring', 'Sum', 900, 0, 2, 3, 'breaching'],
    ],
  );
  const guide = readFileSync(join(REPOSITORY, 'docs/operate.md'), 'utf8');
  for (const name of ['TokenLost', 'TokenRefreshFails', 'TokenExpires']) assert.match(guide, new RegExp(`^### ${name}$`, 'm'));
});

test('without the code of token-rotation there is none of it', () => {
  const { template } = agentTemplate();
  assert.ok(!JSON.stringify(template.toJSON()).includes('rotation#'));
  assert.equal(template.findOutputs('*').PutTheAppCredentials, undefined);
});

test('the deployment ends with the command that puts the credentials of the app, and the command puts the JSON that is read', () => {
  const { Value } = template.findOutputs('PutTheAppCredentials').PutTheAppCredentials!;
  const command = Value['Fn::Join'][1].map((it: string | { Ref: string }) => (typeof it === 'string' ? it : it.Ref)).join('');
  assert.match(command, new RegExp(`put-secret-value --region AWS::Region --secret-id ${app} `));
  const run = spawnSync('bash', ['-c', `aws() { cat; }; ${command}`], { input: '123.456\nxyzzy\n', encoding: 'utf8' });
  assert.deepEqual(JSON.parse(run.stdout), { client_id: '123.456', client_secret: 'xyzzy' });
});
