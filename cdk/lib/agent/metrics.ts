// The names of the metrics that the dispatcher sends, as CloudWatch metrics for alarms and graphs.

import { Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import type * as lambda from 'aws-cdk-lib/aws-lambda';

/** The counts that the dispatcher sends after each invocation. It sends no count that is zero. */
export type DispatchCountName =
  | 'Dispatched'
  | 'DispatchDuplicates'
  | 'DispatchDeferred'
  | 'DispatchFailures'
  | 'DeadLettered'
  | 'ColdStarts';

/** The times that the dispatcher measures, in milliseconds. */
export type DispatchTimeName = 'InvokeTime' | 'QueueTime';

/** The metrics of one dispatcher: those that it sends, and those that Lambda sends about it. */
export class DispatchMetrics {
  private static readonly NAMESPACE = 'SlackIngress';

  constructor(private readonly fn: lambda.IFunction) {}

  /** The sum of one of the dispatcher's counts. */
  count(name: DispatchCountName): cloudwatch.Metric {
    return this.own(name, 'Sum');
  }

  /** A statistic, such as `p99`, of one of the dispatcher's times. */
  time(name: DispatchTimeName, statistic: string): cloudwatch.Metric {
    return this.own(name, statistic);
  }

  /** The sum of one of the counts that Lambda sends about the dispatcher. */
  lambda(name: 'Invocations' | 'Errors' | 'Throttles'): cloudwatch.Metric {
    return this.fn.metric(name, { statistic: 'Sum', period: Duration.minutes(5) });
  }

  /**
   * The percentage of attempts that were put off. It is 0 while there are fewer than ten of them: a single busy
   * conversation causes as many.
   */
  deferredShare(): cloudwatch.MathExpression {
    return new cloudwatch.MathExpression({
      label: 'events put off (%)',
      expression:
        'IF(FILL(deferred, 0) >= 10, 100 * FILL(deferred, 0) / (FILL(deferred, 0) + FILL(dispatched, 0) + FILL(failures, 0)), 0)',
      usingMetrics: {
        deferred: this.count('DispatchDeferred'),
        dispatched: this.count('Dispatched'),
        failures: this.count('DispatchFailures'),
      },
      period: Duration.minutes(5),
    });
  }

  private own(metricName: string, statistic: string): cloudwatch.Metric {
    return new cloudwatch.Metric({
      namespace: DispatchMetrics.NAMESPACE,
      metricName,
      dimensionsMap: { FunctionName: this.fn.functionName },
      statistic,
      period: Duration.minutes(5),
    });
  }
}
