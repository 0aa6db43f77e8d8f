// The ingress's alarms.

import { Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import type * as sns from 'aws-cdk-lib/aws-sns';
import type * as sqs from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import { alarmFactory } from '../common/alarm';
import type { CanaryMetrics } from './canary';
import type { FrontDoorMetrics } from './front-door';
import type { IngressMetrics } from './metrics';

export interface AlarmsProps {
  readonly metrics: IngressMetrics;
  readonly frontDoor: FrontDoorMetrics;
  /** Whether rules answer some requests at once. */
  readonly hasFastPath: boolean;
  /** @default there is no canary */
  readonly canary?: CanaryMetrics;
  readonly queue?: sqs.IQueue;
  readonly deadLetterQueue?: sqs.IQueue;
  /** The topic that alarms notify. @default none: an alarm only changes its state */
  readonly topic?: sns.ITopic;
  /** The age of the oldest message on the queue above which an alarm is raised. */
  readonly maxMessageAge: Duration | 'no alarm';
}

/**
 * The alarms of one ingress. docs/operate.md says what each alarm means and what to do about it.
 *
 * Only `ParkedEvents` and `CanaryFails` are also raised when their metrics are missing. The other metrics are missing when
 * there is no traffic, and that is no fault; the redrive function and the canary run, and send their metrics, whether or
 * not there is traffic.
 */
export class Alarms extends Construct {
  readonly all: cloudwatch.Alarm[] = [];

  constructor(scope: Construct, id: string, props: AlarmsProps) {
    super(scope, id);
    const { metrics, frontDoor, hasFastPath, canary, queue, deadLetterQueue, topic, maxMessageAge } = props;
    const minutes = Duration.minutes;
    const alarm = alarmFactory(this, this.all, topic);

    if (queue && deadLetterQueue) {
      alarm(
        'DeadLetters',
        'an event failed in the consumer every time and is in the dead-letter queue',
        deadLetterQueue.metricApproximateNumberOfMessagesVisible({ period: minutes(5), statistic: 'Maximum' }),
        0,
      );
      if (maxMessageAge !== 'no alarm') {
        alarm(
          'OldMessages',
          'events wait on the queue for longer than they should',
          queue.metricApproximateAgeOfOldestMessage({ period: minutes(5), statistic: 'Maximum' }),
          maxMessageAge.toSeconds(),
        );
      }
    }
    // Two periods of three: in a quiet hour, one failed request that Slack repeats is no reason for an alarm.
    alarm('Failures', 'more than 5 % of requests failed', metrics.failureShare(), 5, [2, 3]);
    alarm('SlowAnswers', 'p99 of the answer is over 2 s; Slack gives up at 3 s', metrics.time('AckTime', 'p99'), 2000, [
      2, 3,
    ]);
    alarm('Throttles', 'Lambda turned requests away', metrics.lambdaCount('Throttles'), 0);
    if (frontDoor.throttled) {
      // One is too many: after Slack's fourth attempt the event is lost, and no function has seen it.
      alarm('ApiThrottles', 'the API turned requests away (429): its throttle is too low, or it is a flood', frontDoor.throttled, 0);
    }
    // Two periods of three: Slack repeats what failed once. Its first and its last attempt are more than five minutes apart, so
    // of an event that is lost there is an error in two periods.
    alarm('FrontDoorErrors', 'requests did not get through to the function', frontDoor.errors, 0, [2, 3]);
    // There is no alarm on 4xx: whoever scans the address causes them. What matters of them is in Rejections, in Malformed and
    // in ApiThrottles.
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
    // The minimum is above 0 when at least one event was parked during the whole period. The function sends this metric
    // on every run, so a missing value means that the function does not run.
    alarm(
      'ParkedEvents',
      'events stay parked, or the redrive function does not run',
      metrics.redrive('ParkedEvents', 'Minimum'),
      0,
      [1, 1],
      cloudwatch.TreatMissingData.BREACHING,
    );
    alarm('RateLimited', 'Slack held events back (app_rate_limited)', metrics.count('RateLimited'), 0);
    if (hasFastPath) {
      // Slack asks only once, and somebody waits for the answer.
      alarm('FastPathFailed', 'a rule could not answer: no modal opened, no options came, or a function failed', metrics.count('FastPathFailed'), 0);
    }
    if (canary) {
      // Two periods of three: a run that comes a second late leaves a period without one, and one that fails is no outage.
      alarm(
        'CanaryFails',
        'the front door does not answer from outside as it should, or the canary does not run',
        canary.failed,
        0,
        [2, 3],
        cloudwatch.TreatMissingData.BREACHING,
      );
    }
  }
}
