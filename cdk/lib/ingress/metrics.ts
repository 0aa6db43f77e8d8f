// The names of the metrics that the ingress and the redrive function send, as CloudWatch metrics for alarms and graphs.

import { Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import type * as lambda from 'aws-cdk-lib/aws-lambda';

/**
 * The counts that the ingress sends after each invocation (`src/telemetry/metrics`). It sends no count that is zero.
 */
export type CountName =
  | 'Accepted'
  | 'Duplicates'
  | 'Ignored'
  | 'RateLimited'
  | 'Suggestions'
  | 'AnsweredAtOnce'
  | 'FastPathAnswered'
  | 'FastPathFailed'
  | 'InFlight'
  | 'Unavailable'
  | 'Rejected'
  | 'Malformed'
  | 'Unguarded'
  | 'LeaseTakeovers'
  | 'Parked'
  | 'Lost'
  | 'ColdStarts';

/** The times that the ingress measures, in milliseconds. */
export type TimeName = 'VerifyTime' | 'RecordTime' | 'SendTime' | 'SettleTime' | 'FastPathTime' | 'AckTime';

/**
 * The metrics that the redrive function sends after each run: the number of events that it sent, the number that it
 * failed to send, the number of those that it listed and that are still parked, and the age of the oldest of these in
 * seconds.
 */
export type RedriveName = 'Redriven' | 'RedriveFailures' | 'ParkedEvents' | 'OldestParkedAge';

/**
 * The values of the dimension `RetryReason`: Slack's reasons for a retry, and `other` for a reason that Slack adds
 * later.
 */
export const RETRY_REASONS = [
  'http_timeout',
  'http_error',
  'connection_failed',
  'ssl_error',
  'too_many_redirects',
  'unknown_error',
  'other',
] as const;

/**
 * The metrics of one ingress: those that its two functions send, and those that Lambda sends about them. A period is
 * five minutes unless the method says otherwise.
 */
export class IngressMetrics {
  private static readonly NAMESPACE = 'SlackIngress';

  constructor(
    private readonly fn: lambda.IFunction,
    private readonly redriveFn: lambda.IFunction,
  ) {}

  /** The sum of one of the ingress's counts. */
  count(name: CountName, period = Duration.minutes(5)): cloudwatch.Metric {
    return this.own(name, { FunctionName: this.fn.functionName }, 'Sum', period);
  }

  /** The number of retries that Slack sent for one reason. */
  retries(reason: (typeof RETRY_REASONS)[number]): cloudwatch.Metric {
    const dimensions = { FunctionName: this.fn.functionName, RetryReason: reason };
    return this.own('Retries', dimensions, 'Sum', Duration.minutes(5)).with({ label: reason });
  }

  /** A statistic, such as `p99`, of one of the ingress's times. */
  time(name: TimeName, statistic: string): cloudwatch.Metric {
    return this.own(name, { FunctionName: this.fn.functionName }, statistic, Duration.minutes(5));
  }

  /** A statistic, such as `Maximum`, of one of the redrive function's metrics. */
  redrive(name: RedriveName, statistic: string): cloudwatch.Metric {
    return this.own(name, { FunctionName: this.redriveFn.functionName }, statistic, Duration.minutes(5));
  }

  /** The sum of one of the counts that Lambda sends about the ingress. */
  lambdaCount(name: 'Invocations' | 'Errors' | 'Throttles', period = Duration.minutes(5)): cloudwatch.Metric {
    return this.fn.metric(name, { statistic: 'Sum', period });
  }

  /**
   * The percentage of requests that failed for a reason on our side: the table, the queue or the time (503), a crash,
   * or too many requests at once.
   */
  failureShare(): cloudwatch.MathExpression {
    return new cloudwatch.MathExpression({
      label: 'failed attempts (%)',
      expression:
        '100 * (FILL(unavailable, 0) + FILL(errors, 0) + FILL(throttles, 0)) / (FILL(invocations, 0) + FILL(throttles, 0))',
      usingMetrics: {
        unavailable: this.count('Unavailable'),
        errors: this.lambdaCount('Errors'),
        throttles: this.lambdaCount('Throttles'),
        invocations: this.lambdaCount('Invocations'),
      },
      period: Duration.minutes(5),
    });
  }

  /** The percentage of requests that got no 2xx for any reason, over 60 minutes, as Slack counts them. */
  slackFailureShare(): cloudwatch.MathExpression {
    const period = Duration.hours(1);
    return new cloudwatch.MathExpression({
      label: 'attempts without a 2xx (%, hourly)',
      expression:
        '100 * (FILL(inflight, 0) + FILL(unavailable, 0) + FILL(rejected, 0) + FILL(malformed, 0) + FILL(errors, 0) + FILL(throttles, 0)) / (FILL(invocations, 0) + FILL(throttles, 0))',
      usingMetrics: {
        inflight: this.count('InFlight', period),
        unavailable: this.count('Unavailable', period),
        rejected: this.count('Rejected', period),
        malformed: this.count('Malformed', period),
        errors: this.lambdaCount('Errors', period),
        throttles: this.lambdaCount('Throttles', period),
        invocations: this.lambdaCount('Invocations', period),
      },
      period,
    });
  }

  /**
   * The percentage of requests whose signature did not match. It is 0 while there are fewer than five of them: a
   * scanner that passes by is no reason for an alarm.
   */
  rejectionShare(): cloudwatch.MathExpression {
    const period = Duration.minutes(15);
    return new cloudwatch.MathExpression({
      label: 'rejected requests (%)',
      expression: 'IF(FILL(rejected, 0) >= 5, 100 * FILL(rejected, 0) / invocations, 0)',
      usingMetrics: {
        rejected: this.count('Rejected', period),
        invocations: this.lambdaCount('Invocations', period),
      },
      period,
    });
  }

  private own(
    metricName: string,
    dimensionsMap: Record<string, string>,
    statistic: string,
    period: Duration,
  ): cloudwatch.Metric {
    return new cloudwatch.Metric({
      namespace: IngressMetrics.NAMESPACE,
      metricName,
      dimensionsMap,
      statistic,
      period,
    });
  }
}
