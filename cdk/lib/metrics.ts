import { Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import type * as lambda from 'aws-cdk-lib/aws-lambda';

/** What the function counts, once an invocation (`src/telemetry/metrics/mod.rs`). A count of nothing is not sent. */
export type CountName =
  | 'Accepted'
  | 'Duplicates'
  | 'Ignored'
  | 'RateLimited'
  | 'Suggestions'
  | 'InFlight'
  | 'Unavailable'
  | 'Rejected'
  | 'Malformed'
  | 'Unguarded'
  | 'LeaseTakeovers'
  | 'Parked'
  | 'Lost'
  | 'ColdStarts';

/** What the function times, in milliseconds. */
export type TimeName = 'VerifyTime' | 'RecordTime' | 'SendTime' | 'SettleTime' | 'AckTime';

/**
 * What the redrive function sends each run: what it sent, what failed, how many are parked at the end (counted up to
 * 1000), and the seconds that the oldest of them has waited.
 */
export type RedriveName = 'Redriven' | 'RedriveFailures' | 'ParkedEvents' | 'OldestParkedAge';

/** Slack's reasons for a retry, and what the function makes of any other. */
export const RETRY_REASONS = [
  'http_timeout',
  'http_error',
  'connection_failed',
  'ssl_error',
  'too_many_redirects',
  'unknown_error',
  'other',
] as const;

/** The metrics of one ingress: its functions' own and Lambda's. Periods are five minutes unless told otherwise. */
export class IngressMetrics {
  private static readonly NAMESPACE = 'SlackIngress';

  constructor(
    private readonly fn: lambda.IFunction,
    private readonly redriveFn: lambda.IFunction,
  ) {}

  /** A sum of one of the function's counts. */
  count(name: CountName, period = Duration.minutes(5)): cloudwatch.Metric {
    return this.own(name, { FunctionName: this.fn.functionName }, 'Sum', period);
  }

  /** Retries of Slack's for one reason. */
  retries(reason: (typeof RETRY_REASONS)[number]): cloudwatch.Metric {
    const dimensions = { FunctionName: this.fn.functionName, RetryReason: reason };
    return this.own('Retries', dimensions, 'Sum', Duration.minutes(5)).with({ label: reason });
  }

  /** A statistic of one of the function's times. */
  time(name: TimeName, statistic: string): cloudwatch.Metric {
    return this.own(name, { FunctionName: this.fn.functionName }, statistic, Duration.minutes(5));
  }

  /** A statistic of one of the redrive function's metrics. */
  redrive(name: RedriveName, statistic: string): cloudwatch.Metric {
    return this.own(name, { FunctionName: this.redriveFn.functionName }, statistic, Duration.minutes(5));
  }

  /** A sum of one of Lambda's own counts. */
  lambda(name: 'Invocations' | 'Errors' | 'Throttles', period = Duration.minutes(5)): cloudwatch.Metric {
    return this.fn.metric(name, { statistic: 'Sum', period });
  }

  /** Per cent of Slack's attempts that we failed, our own doing only: a dependency, a crash, no room. */
  failureShare(): cloudwatch.MathExpression {
    return new cloudwatch.MathExpression({
      label: 'failed attempts (%)',
      expression:
        '100 * (FILL(unavailable, 0) + FILL(errors, 0) + FILL(throttles, 0)) / (FILL(invocations, 0) + FILL(throttles, 0))',
      usingMetrics: {
        unavailable: this.count('Unavailable'),
        errors: this.lambda('Errors'),
        throttles: this.lambda('Throttles'),
        invocations: this.lambda('Invocations'),
      },
      period: Duration.minutes(5),
    });
  }

  /** Per cent of attempts that got no 2xx, whyever, as Slack counts them over 60 minutes. */
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
        errors: this.lambda('Errors', period),
        throttles: this.lambda('Throttles', period),
        invocations: this.lambda('Invocations', period),
      },
      period,
    });
  }

  /** Per cent of requests whose signature did not match; 0 while they are fewer than five, which is a passing scanner. */
  rejectionShare(): cloudwatch.MathExpression {
    const period = Duration.minutes(15);
    return new cloudwatch.MathExpression({
      label: 'rejected requests (%)',
      expression: 'IF(FILL(rejected, 0) >= 5, 100 * FILL(rejected, 0) / invocations, 0)',
      usingMetrics: {
        rejected: this.count('Rejected', period),
        invocations: this.lambda('Invocations', period),
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
