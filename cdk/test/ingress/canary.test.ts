// The canary's place in the stack: its rights, its schedule, its alarm. test/deploy/canary.py runs its program.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { REPOSITORY, type Resource, only, roleOf, synthesized } from '../support';

const PROGRAM = join(REPOSITORY, 'cdk/canary');
const isCanary = (it: Resource) => it.Properties.Handler === 'canary.handler';
const template = synthesized({ canary: true });
const canary = only(template, 'AWS::Lambda::Function', isCanary);
const allow = (Action: string | string[], Resource: unknown) => ({ Effect: 'Allow', Action, Resource });

test('without the prop there is no canary, and no alarm on it', () => {
  const without = synthesized();
  assert.equal(Object.values(without.findResources('AWS::Lambda::Function')).filter((it) => isCanary(it as Resource)).length, 0);
  without.resourcePropertiesCountIs('AWS::CloudWatch::Alarm', { MetricName: 'CanaryFailed' }, 0);
});

test('the canary may read the signing secret and write its log, and nothing more', () => {
  const { statements, role } = roleOf(template, canary);
  const secret = only(template, 'AWS::SecretsManager::Secret').id;
  const log = canary.Properties.LoggingConfig.LogGroup.Ref;
  assert.deepEqual(statements, [
    allow('secretsmanager:GetSecretValue', { Ref: secret }),
    allow(['logs:CreateLogStream', 'logs:PutLogEvents'], { 'Fn::GetAtt': [log, 'Arn'] }),
  ]);
  const { AssumeRolePolicyDocument, Description, ...rest } = role.Properties;
  assert.deepEqual(rest, {});
  assert.deepEqual(AssumeRolePolicyDocument.Statement[0].Principal, { Service: 'lambda.amazonaws.com' });
});

test('a signing secret that a key of yours encrypts can be read', () => {
  const key = 'arn:aws:kms:us-east-1:111122223333:key/1';
  const secretCompleteArn = 'arn:aws:secretsmanager:us-east-1:111122223333:secret:slack-AbCdEf';
  const own = synthesized((scope) => ({
    canary: true,
    signingSecret: secretsmanager.Secret.fromSecretAttributes(scope, 'Secret', {
      secretCompleteArn,
      encryptionKey: kms.Key.fromKeyArn(scope, 'Key', key),
    }),
  }));
  const { statements } = roleOf(own, only(own, 'AWS::Lambda::Function', isCanary));
  assert.deepEqual(statements.slice(0, 2).map(({ Action, Resource }: any) => [Action, Resource]), [
    ['secretsmanager:GetSecretValue', secretCompleteArn],
    ['kms:Decrypt', key],
  ]);
  assert.deepEqual(Object.keys(statements[1].Condition.StringEquals), ['kms:ViaService']);
});

for (const frontDoor of ['http-api', 'function-url'] as const) {
  test(`it asks the URL that Slack asks: ${frontDoor}`, () => {
    const own = synthesized({ canary: true, frontDoor });
    const { REQUEST_URL, SIGNING_SECRET_ARN } = only(own, 'AWS::Lambda::Function', isCanary).Properties.Environment.Variables;
    const door = only(own, frontDoor === 'http-api' ? 'AWS::ApiGatewayV2::Api' : 'AWS::Lambda::Url').id;
    const url = JSON.stringify(REQUEST_URL);
    assert.ok(url.includes(door), url);
    assert.equal(REQUEST_URL['Fn::Join'][1].at(-1).slice(-'/slack/events'.length), '/slack/events');
    assert.deepEqual(SIGNING_SECRET_ARN, { Ref: only(own, 'AWS::SecretsManager::Secret').id });
  });
}

test('only its schedule runs it, every five minutes, and no run is repeated', () => {
  const rule = only(template, 'AWS::Events::Rule', (it) => it.Properties.Description.includes('canary')).Properties;
  assert.equal(rule.ScheduleExpression, 'rate(5 minutes)');
  assert.deepEqual(rule.Targets.map((it: any) => it.Arn), [{ 'Fn::GetAtt': [canary.id, 'Arn'] }]);
  const permissions = Object.values(template.findResources('AWS::Lambda::Permission')).filter((it) => JSON.stringify(it).includes(canary.id));
  assert.deepEqual(permissions.map((it) => it.Properties!.Principal), ['events.amazonaws.com']);
  template.hasResourceProperties('AWS::Lambda::EventInvokeConfig', { FunctionName: { Ref: canary.id }, MaximumRetryAttempts: 0 });
});

test('the alarm is raised when two of three runs fail, or do not report', () => {
  const alarm = only(template, 'AWS::CloudWatch::Alarm', (it) => it.Properties.MetricName === 'CanaryFailed').Properties;
  const { Namespace, Statistic, Period, Threshold, DatapointsToAlarm, EvaluationPeriods, TreatMissingData, Dimensions } = alarm;
  assert.deepEqual([Namespace, Statistic, Period], ['SlackIngress', 'Maximum', 300]);
  assert.deepEqual([Threshold, DatapointsToAlarm, EvaluationPeriods, TreatMissingData], [0, 2, 3, 'breaching']);
  assert.deepEqual(Dimensions, [{ Name: 'FunctionName', Value: { Ref: canary.id } }]);
  assert.match(readFileSync(join(REPOSITORY, 'docs/operate.md'), 'utf8'), /^### CanaryFails$/m);
});

test('the program sends what is watched and drawn, and is all that is deployed', () => {
  const source = readFileSync(join(PROGRAM, 'canary.py'), 'utf8');
  const body = JSON.stringify(only(template, 'AWS::CloudWatch::Dashboard').Properties.DashboardBody);
  for (const name of ['CanaryFailed', 'CanaryTime']) {
    assert.ok(source.includes(`"${name}"`), name);
    assert.ok(body.includes(`SlackIngress\\",\\"${name}`), name);
  }
  assert.deepEqual(readdirSync(PROGRAM).filter((it) => it !== '__pycache__'), ['canary.py']);
});
