// What a deployment may not replace unasked. That `cdk diff` says it in these words is shown by test/deploy, against the emulator.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { destructiveChanges, refusal } from '../../lib/guard/replacement';

const OUTPUT = `(node:23732) Warning: something else
❌  Found 7 destructive change(s) (--fail-on=destructive):
  SlackIngress: AWS::SQS::Queue Ingress/Queue IngressQueue26236266 will be replaced
  SlackIngress: AWS::SQS::Queue Ingress/DeadLetterQueue IngressDeadLetterQueue1C881486 may be replaced
  SlackIngress: AWS::CloudWatch::Alarm Ingress/Alarms/Failures IngressAlarmsFailures24E4BB6B may be replaced
  SlackIngress: AWS::ApiGatewayV2::Api Ingress/HttpApi IngressHttpApi26236266 will be destroyed
  SlackIngressAgent: AWS::SecretsManager::Secret BotToken BotToken26236266 will be orphaned (moved to Other.BotToken, run 'cdk refactor' to keep it)
  SlackIngressAgent: Custom::Thing Thing1C881486 will be destroyed
  SlackIngressAgent: AWS::DynamoDB::Table Table26236266 will be destroyed

`;

test('each line of what the CDK found is read', () => {
  const changes = destructiveChanges(OUTPUT).map((it) => `${it.stack} ${it.type} ${it.path} ${it.fate}`);
  assert.deepEqual(changes, [
    'SlackIngress AWS::SQS::Queue Ingress/Queue will be replaced',
    'SlackIngress AWS::SQS::Queue Ingress/DeadLetterQueue may be replaced',
    'SlackIngress AWS::CloudWatch::Alarm Ingress/Alarms/Failures may be replaced',
    'SlackIngress AWS::ApiGatewayV2::Api Ingress/HttpApi will be destroyed',
    'SlackIngressAgent AWS::SecretsManager::Secret BotToken will be orphaned',
    'SlackIngressAgent Custom::Thing Thing1C881486 will be destroyed',
    'SlackIngressAgent AWS::DynamoDB::Table Table26236266 will be destroyed',
  ]);
  assert.deepEqual(destructiveChanges('Number of stacks with differences: 1'), []);
});

test('a line that cannot be read stops, because it may be a queue', () => {
  const other = OUTPUT.replace('Ingress/Queue IngressQueue26236266 will be replaced', 'is about to be replaced');
  assert.throws(() => destructiveChanges(other), /found 7 destructive changes, and 6 could be read/);
});

test('what holds data, and what Slack calls, is refused by name, and nothing else is', () => {
  const reason = refusal(destructiveChanges(OUTPUT), [])!;
  const named = [...reason.matchAll(/^ {2}\S+: (\S+) /gm)].map(([, path]) => path);
  assert.deepEqual(named, ['Ingress/Queue', 'Ingress/DeadLetterQueue', 'Ingress/HttpApi', 'BotToken', 'Table26236266']);
  assert.match(reason, /add REPLACE=Ingress\/Queue,Ingress\/DeadLetterQueue,Ingress\/HttpApi,BotToken,Table26236266 to/);
  const others = destructiveChanges(OUTPUT).filter((it) => /Alarm|Custom/.test(it.type));
  assert.equal(others.length, 2);
  assert.equal(refusal(others, []), undefined);
});

test('approvals that are left out are refused, with what happens without them', () => {
  const left = `Found 1 destructive change(s)
  SlackIngressAgent: AWS::Scheduler::ScheduleGroup Settle/Approvals/Schedules SettleApprovalsSchedules1C881486 will be destroyed
`;
  const reason = refusal(destructiveChanges(left), [])!;
  assert.match(reason, /Settle\/Approvals\/Schedules \(AWS::Scheduler::ScheduleGroup\) will be destroyed: .*tools are called without asking/);
  assert.equal(refusal(destructiveChanges(left), ['Settle/Approvals/Schedules']), undefined);
});

test('what is named may be replaced, and the way out names it again beside the rest', () => {
  const changes = destructiveChanges(OUTPUT);
  const reason = refusal(changes, ['Ingress/Queue', 'Ingress/DeadLetterQueue'])!;
  assert.doesNotMatch(reason, /^ {2}SlackIngress: Ingress\/(Queue|DeadLetterQueue)/m);
  assert.match(reason, /REPLACE=Ingress\/Queue,Ingress\/DeadLetterQueue,Ingress\/HttpApi,BotToken,Table26236266/);
  const all = changes.map((it) => it.path);
  assert.equal(refusal(changes, all), undefined);
});
