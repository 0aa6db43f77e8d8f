// What Slack is answered at once: the file of rules gets to the function, and the function may call what they name.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Template } from 'aws-cdk-lib/assertions';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { functions, ingressIn, only, redriveIn, roleOf, rustSource, synthesized, temporaryDirectory } from '../support';

const allow = (Action: string | string[], Resource: unknown) => ({ Effect: 'Allow', Action, Resource });
const token = 'arn:aws:secretsmanager:us-east-1:111122223333:secret:bot-token-AbCdEf';

/** A file with these rules. */
function rulesIn(rules: unknown): string {
  const path = join(temporaryDirectory(), 'rules.json');
  writeFileSync(path, typeof rules === 'string' ? rules : JSON.stringify({ version: 1, rules }));
  return path;
}

const modal = { when: { type: 'shortcut' }, open: { type: 'modal' } };
const handedOver = (name: string) => ({ when: { command: `/${name}` }, function: { name } });

test('the rules are in a layer of the ingress, which may read the token and invoke the functions that they name', () => {
  const other = 'arn:aws:lambda:us-east-1:111122223333:function:other:live';
  const rules = rulesIn([modal, handedOver('bolt-app'), handedOver('bolt-app'), handedOver(other)]);
  const template = synthesized((scope) => ({
    ...functions(),
    fastPath: { rules, botToken: secretsmanager.Secret.fromSecretCompleteArn(scope, 'Token', token) },
  }));
  const fn = ingressIn(template);
  const layer = only(template, 'AWS::Lambda::LayerVersion').id;
  assert.deepEqual(fn.Properties.Layers, [{ Ref: layer }]);
  const { FAST_PATH, SLACK_BOT_TOKEN_ARN } = fn.Properties.Environment.Variables;
  assert.deepEqual([FAST_PATH, SLACK_BOT_TOKEN_ARN], ['/opt/fast-path.json', token]);
  const { statements } = roleOf(template, fn);
  const secret = only(template, 'AWS::SecretsManager::Secret').id;
  const read = statements.filter((it: any) => it.Action === 'secretsmanager:GetSecretValue');
  assert.deepEqual(read, [allow('secretsmanager:GetSecretValue', [token, { Ref: secret }])]);
  const invoke = statements.filter((it: any) => it.Action === 'lambda:InvokeFunction').flatMap((it: any) => it.Resource);
  const parts = ['', ['arn:', { Ref: 'AWS::Partition' }, ':lambda:', { Ref: 'AWS::Region' }, ':', { Ref: 'AWS::AccountId' }, ':function:bolt-app']];
  assert.deepEqual(invoke, [other, { 'Fn::Join': parts }]);
  // The redrive answers nobody.
  const redrive = redriveIn(template);
  assert.equal(redrive.Properties.Layers, undefined);
  assert.equal(redrive.Properties.Environment.Variables.FAST_PATH, undefined);
});

test('a token that a key of yours encrypts can be read', () => {
  const template = synthesized((scope) => {
    const encryptionKey = kms.Key.fromKeyArn(scope, 'Key', 'arn:aws:kms:us-east-1:111122223333:key/1');
    const botToken = secretsmanager.Secret.fromSecretAttributes(scope, 'Token', { secretCompleteArn: token, encryptionKey });
    return { ...functions(), fastPath: { rules: rulesIn([modal]), botToken } };
  });
  const decrypt = roleOf(template, ingressIn(template)).statements.filter((it: any) => it.Action === 'kms:Decrypt');
  assert.deepEqual(decrypt.map((it: any) => it.Resource), ['arn:aws:kms:us-east-1:111122223333:key/1']);
});

test('without rules there is no layer, and the function may not do more', () => {
  const template = synthesized();
  template.resourceCountIs('AWS::Lambda::LayerVersion', 0);
  assert.equal(ingressIn(template).Properties.Environment.Variables.FAST_PATH, undefined);
});

test('what the function could not start with stops the synthesis', () => {
  const build = (rules: string) => () => synthesized({ ...functions(), fastPath: { rules } });
  assert.throws(build('no-such-file.json'), /no-such-file.json cannot be read/);
  assert.throws(build(rulesIn('{')), /cannot be read as JSON/);
  assert.throws(build(rulesIn('{}')), /has no list of rules/);
  assert.throws(build(rulesIn([modal])), /opens a modal, and there is no botToken/);
});

test('the example of the documentation can be deployed', () => {
  const path = join(__dirname, '../../../examples/fast-path.json');
  assert.match(readFileSync(path, 'utf8'), /"open"/);
  const template = synthesized((scope) => ({
    ...functions(),
    fastPath: { rules: path, botToken: secretsmanager.Secret.fromSecretCompleteArn(scope, 'Token', token) },
  }));
  template.resourceCountIs('AWS::Lambda::LayerVersion', 1);
});

test('a rule that fails raises an alarm, and what rules answer is drawn; without rules there is neither', () => {
  const alarm = { MetricName: 'FastPathFailed', Namespace: 'SlackIngress', Statistic: 'Sum', Threshold: 0, DatapointsToAlarm: 1 };
  const drawn = /FastPathAnswered.*AnsweredAtOnce.*FastPathFailed.*FastPathTime/;
  const body = (template: Template) => JSON.stringify(only(template, 'AWS::CloudWatch::Dashboard').Properties.DashboardBody);
  const withRules = synthesized({ ...functions(), fastPath: { rules: rulesIn([handedOver('bolt-app')]) } });
  const { Dimensions } = only(withRules, 'AWS::CloudWatch::Alarm', (it) => it.Properties.MetricName === 'FastPathFailed').Properties;
  assert.deepEqual(Dimensions, [{ Name: 'FunctionName', Value: { Ref: ingressIn(withRules).id } }]);
  withRules.hasResourceProperties('AWS::CloudWatch::Alarm', alarm);
  assert.match(body(withRules), drawn);
  const source = rustSource('src/telemetry/metrics');
  for (const name of ['FastPathAnswered', 'AnsweredAtOnce', 'FastPathFailed', 'FastPathTime']) assert.ok(source.includes(`"${name}"`), name);
  const without = synthesized();
  without.resourcePropertiesCountIs('AWS::CloudWatch::Alarm', { MetricName: 'FastPathFailed' }, 0);
  assert.doesNotMatch(body(without), /FastPath|AnsweredAtOnce/);
});
