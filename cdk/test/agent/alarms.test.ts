// The alarms and the dashboard of what is behind the queue.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Duration } from 'aws-cdk-lib';
import { Match } from 'aws-cdk-lib/assertions';
import * as sns from 'aws-cdk-lib/aws-sns';
import {
  REPOSITORY,
  agentTemplate,
  dispatchIn,
  isDeadLetterQueue,
  isQueue,
  isSettleGateway,
  isToolsGateway,
  only,
  rustSource,
  settleIn,
} from '../support';

const { template, ingress } = agentTemplate();
const [dispatch, settle] = [dispatchIn(template).id, settleIn(template).id];
const alarms = Object.entries(template.findResources('AWS::CloudWatch::Alarm')).map(([id, it]) => ({
  name: id.replace(/^Alarms|[0-9A-F]{8}$/g, ''),
  ...it.Properties,
}));

test('the alarms have these thresholds, and these numbers of periods above them', () => {
  assert.deepEqual(
    alarms.map((it) => [it.name, it.Threshold, it.DatapointsToAlarm, it.EvaluationPeriods]),
    [
      ['Unanswered', 900_000, 1, 4],
      ['AnswerFailures', 0, 1, 20],
      ['OutcomeUnknown', 0, 1, 1],
      ['Untold', 0, 1, 1],
      ['DeadLettered', 0, 1, 1],
      ['LettersWithoutReason', 0, 1, 1],
      ['DispatchErrors', 0, 1, 1],
      ['Deferred', 50, 3, 3],
      ['DispatcherStopped', 0, 3, 3],
      ['SettleErrors', 0, 2, 3],
      ['SettleThrottles', 0, 1, 1],
      ['SettleSlow', 25_000, 2, 3],
    ],
  );
  for (const alarm of alarms) {
    assert.equal(alarm.TreatMissingData, 'notBreaching', alarm.name);
    assert.equal(alarm.ComparisonOperator, 'GreaterThanThreshold', alarm.name);
  }
});

test('the tokens of a day have an alarm if their number is set', () => {
  const { template } = agentTemplate({ alarmTokensADay: 5_000_000 });
  const { id, Properties } = only(template, 'AWS::CloudWatch::Alarm', (it) => it.Properties.MetricName === 'Tokens');
  assert.match(id, /^AlarmsTokensOfADay[0-9A-F]{8}$/);
  const { AlarmDescription, ...rest } = Properties;
  assert.deepEqual(rest, {
    Namespace: 'SlackIngress',
    MetricName: 'Tokens',
    Dimensions: [{ Name: 'FunctionName', Value: { Ref: settleIn(template).id } }],
    Statistic: 'Sum',
    Period: 86_400,
    EvaluationPeriods: 1,
    DatapointsToAlarm: 1,
    Threshold: 5_000_000,
    ComparisonOperator: 'GreaterThanThreshold',
    TreatMissingData: 'notBreaching',
  });
});

test('what the schedules fail at has alarms, if there are schedules', () => {
  const { template } = agentTemplate({ approvals: { add_reaction: 'asker' }, audit: { exportDays: 7 } });
  const groups = template.findResources('AWS::Scheduler::ScheduleGroup');
  for (const [name, group, period, periods] of [
    ['ApprovalEndFails', /^SettleApprovals/, 300, 12],
    ['AuditExportFails', /^AuditExport/, 3600, 25],
  ] as const) {
    const all = template.findResources('AWS::CloudWatch::Alarm');
    const [id = ''] = Object.keys(all).filter((it) => it.startsWith(`Alarms${name}`));
    const { Metrics, Threshold, EvaluationPeriods, DatapointsToAlarm, ComparisonOperator } = all[id]!.Properties;
    assert.deepEqual([Threshold, DatapointsToAlarm, EvaluationPeriods, ComparisonOperator], [0, 1, periods, 'GreaterThanThreshold']);
    const [[, its] = []] = Object.entries(groups).filter(([it]) => group.test(it));
    const metric = (Id: string, MetricName: string) => ({
      Id,
      MetricStat: {
        Metric: { Namespace: 'AWS/Scheduler', MetricName, Dimensions: [{ Name: 'ScheduleGroup', Value: its!.Properties.Name }] },
        Period: period,
        Stat: 'Sum',
      },
      ReturnData: false,
    });
    const [{ Expression }, ...metrics] = Metrics;
    assert.equal(Expression, 'FILL(refused, 0) + FILL(dropped, 0)');
    assert.deepEqual(metrics, [metric('refused', 'TargetErrorCount'), metric('dropped', 'InvocationDroppedCount')], name);
  }
  // The next export may be late by the window of its schedule.
  const { FlexibleTimeWindow } = only(template, 'AWS::Scheduler::Schedule').Properties;
  assert.ok(24 + FlexibleTimeWindow.MaximumWindowInMinutes / 60 <= 25);
});

test('every alarm has its section in docs/operate.md', () => {
  const guide = readFileSync(join(REPOSITORY, 'docs/operate.md'), 'utf8');
  for (const name of [...alarms.map((it) => it.name), 'ApprovalEndFails', 'AuditExportFails', 'TokensOfADay']) assert.match(guide, new RegExp(`^### ${name}$`, 'm'));
});

test('every alarm notifies the topic, if there is one, and once more when it is over', () => {
  template.allResourcesProperties('AWS::CloudWatch::Alarm', { AlarmActions: Match.absent(), OKActions: Match.absent() });
  const { template: withTopic } = agentTemplate((scope) => ({
    alarmTopic: sns.Topic.fromTopicArn(scope, 'Topic', 'arn:aws:sns:us-east-1:111122223333:alarms'),
  }));
  withTopic.allResourcesProperties('AWS::CloudWatch::Alarm', {
    AlarmActions: ['arn:aws:sns:us-east-1:111122223333:alarms'],
    OKActions: ['arn:aws:sns:us-east-1:111122223333:alarms'],
  });
});

/** The metrics of an alarm's expression by their ids: each one's name, statistic, and the id of what it is about. */
function metricsOf(alarm: any): Record<string, unknown[]> {
  const of = ({ Metric, Stat }: any) => [Metric.MetricName, Stat, JSON.stringify(Metric.Dimensions[0].Value).match(/[A-Z]\w+/g)?.find((it) => it.length > 12)];
  return Object.fromEntries(
    alarm.Metrics.filter((it: any) => it.MetricStat).map((it: any) => [it.Id, of(it.MetricStat)]),
  );
}
const named = (name: string) => alarms.find((it) => it.name === name)!;
const expressionOf = (name: string) => named(name).Metrics.find((it: any) => it.ReturnData !== false).Expression;

/** The longest back-off, in seconds, in the source of the functions. */
const longestBackOff = () => {
  const minutes = rustSource('src/work').match(/LONGEST_DELAY: Duration = Duration::from_secs\((\d+) \* 60\)/)?.[1];
  assert.ok(minutes);
  return 60 * Number(minutes);
};

test('one question is enough for the alarm Unanswered: it watches the oldest that either function has seen', () => {
  assert.deepEqual(metricsOf(named('Unanswered')), {
    at_work: ['OldestUnanswered', 'Maximum', settle],
    put_off: ['OldestUnanswered', 'Maximum', dispatch],
  });
  assert.equal(expressionOf('Unanswered'), 'MAX([FILL(at_work, 0), FILL(put_off, 0)])');
  // The longest back-off of the dispatcher is 15 minutes. The alarm lasts until the question is seen again.
  const { Metrics, EvaluationPeriods } = named('Unanswered');
  const period = Metrics.find((it: any) => it.MetricStat).MetricStat.Period;
  const longest = longestBackOff();
  assert.ok(period * EvaluationPeriods > longest, `${period * EvaluationPeriods} s, and a message is put off for ${longest} s`);
});

test('the limit of Unanswered can be set', () => {
  const { template } = agentTemplate({ unansweredAfter: Duration.minutes(90) });
  template.hasResourceProperties('AWS::CloudWatch::Alarm', { Threshold: 90 * 60 * 1000 });
});

test('a token that does not work is known within five minutes of the first question', () => {
  const { MetricName, Period, Statistic, Dimensions, EvaluationPeriods, DatapointsToAlarm } = named('AnswerFailures');
  assert.deepEqual([MetricName, Period, Statistic], ['AnswerFailures', 60, 'Sum']);
  // Without the dimension Reason: agent-settle counts each failure without it too.
  assert.deepEqual(Dimensions, [{ Name: 'FunctionName', Value: { Ref: settle } }]);
  assert.ok(Period * DatapointsToAlarm <= 300);
  // It lasts until the next try of what Slack refused.
  assert.ok(Period * EvaluationPeriods > longestBackOff());
});

test('messages that nobody takes raise an alarm, and those that wait behind a question at work do not', () => {
  const queue = only(ingress, 'AWS::SQS::Queue', isQueue).id;
  assert.deepEqual(metricsOf(named('DispatcherStopped')), {
    dispatches: ['Invocations', 'Sum', dispatch],
    settlements: ['Invocations', 'Sum', settle],
    waiting: ['ApproximateNumberOfMessagesVisible', 'Minimum', queue],
  });
});

/** Computes the expression of LettersWithoutReason as CloudWatch does, for each period after the first two. */
function lettersWithoutReason(letters: number[], sent: number[]): number[] {
  const more = letters.map((it, n) => (n === 0 ? NaN : it - letters[n - 1]! - sent[n]!));
  return more.slice(2).map((it, n) => (it > 0 && it + more[n + 1]! > 0 ? it : 0));
}

test('a letter that SQS moved counts, and one that a program sent does not, whichever period either metric has it in', () => {
  const deadLetters = only(ingress, 'AWS::SQS::Queue', isDeadLetterQueue).id;
  assert.deepEqual(metricsOf(named('LettersWithoutReason')), {
    letters: ['ApproximateNumberOfMessagesVisible', 'Maximum', deadLetters],
    sent: ['NumberOfMessagesSent', 'Sum', deadLetters],
  });
  const expressions = named('LettersWithoutReason').Metrics.flatMap((it: any) => it.Expression ?? []);
  assert.deepEqual(expressions, [
    'IF(more > 0 AND more + (more - DIFF(more)) > 0, more, 0)',
    'DIFF(FILL(letters, 0)) - FILL(sent, 0)',
  ]);
  assert.deepEqual(lettersWithoutReason([0, 0, 1, 1], [0, 0, 0, 0]), [1, 0], 'moved by SQS');
  assert.deepEqual(lettersWithoutReason([0, 0, 1, 1], [0, 0, 1, 0]), [0, 0], 'sent, and seen in the same period');
  assert.deepEqual(lettersWithoutReason([0, 0, 1, 1], [0, 1, 0, 0]), [0, 0], 'sent, and seen one period later');
  assert.deepEqual(lettersWithoutReason([3, 3, 0, 0], [0, 0, 0, 0]), [0, 0], 'sent back to the queue');
});

test('the functions send every metric that is drawn or watched, under its own name', () => {
  const source = rustSource('src/telemetry/metrics');
  const parts: (string | { Ref: string })[] = only(template, 'AWS::CloudWatch::Dashboard').Properties.DashboardBody['Fn::Join'][1];
  const body = parts.map((it) => (typeof it === 'string' ? it : (it.Ref ?? ''))).join('');
  const drawn = [...body.matchAll(/"SlackIngress","(\w+)","FunctionName","(\w+)"/g)].map(([, name, fn]) => [fn!, name!]);
  const watched = alarms.flatMap((alarm) =>
    (alarm.Metrics ?? [{ MetricStat: { Metric: alarm } }])
      .flatMap((it: any) => it.MetricStat?.Metric ?? [])
      .filter((it: any) => it.Namespace === 'SlackIngress')
      .map((it: any) => [it.Dimensions[0].Value.Ref, it.MetricName]),
  );
  const of = (fn: string) => [...new Set([...drawn, ...watched].filter(([it]) => it === fn).map(([, name]) => name!))].sort();
  assert.deepEqual(of(dispatch), [
    'ColdStarts',
    'DeadLettered',
    'DispatchDeferred',
    'DispatchDuplicates',
    'DispatchFailures',
    'Dispatched',
    'FeedbackBad',
    'FeedbackGood',
    'InvokeTime',
    'NoQuestion',
    'OldestUnanswered',
    'PanesOpened',
    'QueueTime',
    'Untold',
    'Withdrawn',
  ]);
  assert.deepEqual(of(settle), [
    'AnswerFailures',
    'Answered',
    'Attempts',
    'ColdStarts',
    'OldestUnanswered',
    'OutcomeUnknown',
    'OverLimit',
    'Stopped',
    'TimeToAnswer',
    'TimeToFirstSign',
    'Tokens',
    'Told',
    'TurnedAway',
    'Untold',
  ]);
  for (const name of [...of(dispatch), ...of(settle)]) assert.ok(source.includes(`"${name}"`), `nothing sends ${name}`);
  assert.match(source, /count_by\("AnswerFailures", "Reason"/);
  assert.match(source, /count_by\("LimitsReached", "Limit"/);
  assert.match(body, /SEARCH\('\{SlackIngress,FunctionName,Reason\} MetricName=\\"AnswerFailures\\"/);
  assert.match(body, /SEARCH\('\{SlackIngress,FunctionName,Limit\} MetricName=\\"LimitsReached\\"/);
});

test("AgentCore's own metrics of the runtime and of both gateways are drawn", () => {
  const body = JSON.stringify(only(template, 'AWS::CloudWatch::Dashboard').Properties.DashboardBody);
  for (const where of [isToolsGateway, isSettleGateway]) {
    const { id } = only(template, 'AWS::BedrockAgentCore::Gateway', where);
    assert.ok(body.includes(JSON.stringify({ 'Fn::GetAtt': [id, 'GatewayArn'] })), id);
  }
  assert.match(body, /AWS\/Bedrock-AgentCore\\",\\"Invocations\\",\\"Name\\",\\"\w+::live\\",\\"Operation\\",\\"InvokeAgentRuntime/);
});
