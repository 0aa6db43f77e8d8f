// The ingress's alarms: their thresholds, their metrics, their page in the documentation.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Duration } from 'aws-cdk-lib';
import { Match } from 'aws-cdk-lib/assertions';
import * as sns from 'aws-cdk-lib/aws-sns';
import { REPOSITORY, ingressIn, isDeadLetterQueue, isQueue, only, redriveIn, synthesized } from '../support';

const template = synthesized();
const alarms = Object.entries(template.findResources('AWS::CloudWatch::Alarm')).map(([id, it]) => ({
  name: id.replace(/^IngressAlarms|[0-9A-F]{8}$/g, ''),
  ...it.Properties,
}));

test('the alarms have these thresholds, and these numbers of periods above them', () => {
  assert.deepEqual(
    alarms.map((it) => [it.name, it.Threshold, it.DatapointsToAlarm, it.EvaluationPeriods]),
    [
      ['DeadLetters', 0, 1, 1],
      ['OldMessages', 3600, 1, 1],
      ['Failures', 5, 2, 3],
      ['SlowAnswers', 2000, 2, 3],
      ['Throttles', 0, 1, 1],
      ['ApiThrottles', 0, 1, 1],
      ['FrontDoorErrors', 0, 2, 3],
      ['Rejections', 50, 1, 1],
      ['Malformed', 0, 1, 1],
      ['Lost', 0, 1, 1],
      ['ParkedEvents', 0, 1, 1],
      ['RateLimited', 0, 1, 1],
    ],
  );
});

test('only the alarm ParkedEvents is raised when its metric is missing, and every alarm is raised above its threshold', () => {
  for (const alarm of alarms) {
    const onSilence = alarm.name === 'ParkedEvents' ? 'breaching' : 'notBreaching';
    assert.equal(alarm.TreatMissingData, onSilence, alarm.name);
    assert.equal(alarm.ComparisonOperator, 'GreaterThanThreshold', alarm.name);
  }
});

test('every alarm has its section in docs/operate.md', () => {
  const guide = readFileSync(join(REPOSITORY, 'docs/operate.md'), 'utf8');
  for (const name of [...alarms.map((it) => it.name), 'FastPathFailed']) assert.match(guide, new RegExp(`^### ${name}$`, 'm'));
});

test('each queue alarm watches its own queue', () => {
  const queueOf = (name: string) => alarms.find((it) => it.name === name)?.Dimensions[0].Value['Fn::GetAtt'][0];
  assert.equal(queueOf('DeadLetters'), only(template, 'AWS::SQS::Queue', isDeadLetterQueue).id);
  assert.equal(queueOf('OldMessages'), only(template, 'AWS::SQS::Queue', isQueue).id);
});

test('one lost event raises an alarm, and so does one that is parked for five minutes', () => {
  const watched = (name: string) => {
    const { MetricName, Namespace, Statistic, Period, Dimensions } = alarms.find((it) => it.name === name)!;
    return { MetricName, Namespace, Statistic, Period, Dimensions };
  };
  const of = (Ref: string) => [{ Name: 'FunctionName', Value: { Ref } }];
  const common = { Namespace: 'SlackIngress', Period: 300 };
  assert.deepEqual(watched('Lost'), { ...common, MetricName: 'Lost', Statistic: 'Sum', Dimensions: of(ingressIn(template).id) });
  assert.deepEqual(watched('ParkedEvents'), {
    ...common,
    MetricName: 'ParkedEvents',
    Statistic: 'Minimum',
    Dimensions: of(redriveIn(template).id),
  });
});

test('every alarm notifies the topic, if there is one, and once more when it is over', () => {
  template.allResourcesProperties('AWS::CloudWatch::Alarm', { AlarmActions: Match.absent(), OKActions: Match.absent() });
  const withTopic = synthesized((scope) => ({
    alarmTopic: sns.Topic.fromTopicArn(scope, 'Topic', 'arn:aws:sns:us-east-1:111122223333:alarms'),
  }));
  withTopic.allResourcesProperties('AWS::CloudWatch::Alarm', {
    AlarmActions: ['arn:aws:sns:us-east-1:111122223333:alarms'],
    OKActions: ['arn:aws:sns:us-east-1:111122223333:alarms'],
  });
});

test('how old a message may be can be set', () => {
  synthesized({ maxMessageAge: Duration.hours(6) }).hasResourceProperties('AWS::CloudWatch::Alarm', {
    MetricName: 'ApproximateAgeOfOldestMessage',
    Threshold: 21600,
  });
});
