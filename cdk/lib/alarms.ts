import { Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import type * as sns from 'aws-cdk-lib/aws-sns';
import type * as sqs from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import type { IngressMetrics } from './metrics.ts';

export interface AlarmsProps {
  readonly metrics: IngressMetrics;
  readonly queue?: sqs.IQueue;
  readonly deadLetterQueue?: sqs.IQueue;
  /** Where alarms are sent. @default nowhere: they only change colour */
  readonly topic?: sns.ITopic;
  /** The oldest message on the queue may be this old. */
  readonly maxMessageAge: Duration;
}

/**
 * The alarms. docs/operate.md says of each what it means and what to do.
 *
 * Missing data alarms in one of them only: no traffic is no fault, but the redrive function runs whatever the traffic.
 */
export class Alarms extends Construct {
  readonly all: cloudwatch.Alarm[] = [];

  constructor(scope: Construct, id: string, props: AlarmsProps) {
    super(scope, id);
    const { metrics, queue, deadLetterQueue, topic, maxMessageAge } = props;
    const minutes = Duration.minutes;
    const alarm = alarmsIn(this, this.all, topic);

    if (queue && deadLetterQueue) {
      alarm(
        'DeadLetters',
        'an event failed in the consumer every time and is in the dead-letter queue',
        deadLetterQueue.metricApproximateNumberOfMessagesVisible({ period: minutes(5), statistic: 'Maximum' }),
        0,
      );
      alarm(
        'OldMessages',
        'events wait on the queue for longer than they should',
        queue.metricApproximateAgeOfOldestMessage({ period: minutes(5), statistic: 'Maximum' }),
        maxMessageAge.toSeconds(),
      );
    }
    // One failed attempt in a quiet hour is a retry of Slack's, not a fault: two windows of three.
    alarm('Failures', 'more than 5 % of requests failed', metrics.failureShare(), 5, [2, 3]);
    alarm('SlowAnswers', 'p99 of the answer is over 2 s; Slack gives up at 3 s', metrics.time('AckTime', 'p99'), 2000, [
      2, 3,
    ]);
    alarm('Throttles', 'Lambda turned requests away', metrics.lambda('Throttles'), 0);
    alarm(
      'Rejections',
      'most requests have a wrong signature: is the signing secret the right one?',
      metrics.rejectionShare(),
      50,
    );
    alarm('Malformed', 'signed requests that cannot be served were dropped', metrics.count('Malformed'), 0);
    alarm(
      'Lost',
      "an event was lost: on Slack's last attempt neither the queue took it nor the table",
      metrics.count('Lost'),
      0,
    );
    // The minimum: something was parked all the time. Missing data alarms here: every run writes the metric, so silence
    // is a redrive function that does not run.
    alarm(
      'ParkedEvents',
      'events stay parked, or the redrive function does not run',
      metrics.redrive('ParkedEvents', 'Minimum'),
      0,
      [1, 1],
      cloudwatch.TreatMissingData.BREACHING,
    );
    alarm('RateLimited', 'Slack held events back (app_rate_limited)', metrics.count('RateLimited'), 0);
  }
}

/** What puts alarms into `scope` and `all`: each above its threshold, in so many windows of so many. */
export function alarmsIn(scope: Construct, all: cloudwatch.Alarm[], topic?: sns.ITopic) {
  return (
    id: string,
    description: string,
    metric: cloudwatch.IMetric,
    threshold: number,
    [datapointsToAlarm, evaluationPeriods]: [number, number] = [1, 1],
    treatMissingData = cloudwatch.TreatMissingData.NOT_BREACHING,
  ): void => {
    const alarm = new cloudwatch.Alarm(scope, id, {
      alarmDescription: `slack-ingress: ${description}`,
      metric,
      threshold,
      comparisonOperator: cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
      datapointsToAlarm,
      evaluationPeriods,
      treatMissingData,
    });
    if (topic) alarm.addAlarmAction(new SnsAction(topic));
    all.push(alarm);
  };
}
