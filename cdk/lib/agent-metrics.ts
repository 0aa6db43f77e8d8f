import { Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import type * as lambda from 'aws-cdk-lib/aws-lambda';

/** What the dispatcher counts, once an invocation. A count of nothing is not sent. */
export type DispatchCountName =
  | 'Dispatched'
  | 'DispatchDuplicates'
  | 'DispatchDeferred'
  | 'DispatchFailures'
  | 'DeadLettered'
  | 'ColdStarts';

/** What the dispatcher times, in milliseconds. */
export type DispatchTimeName = 'InvokeTime' | 'QueueTime';

/** The metrics of one dispatcher: its own and Lambda's. */
export class DispatchMetrics {
  private static readonly NAMESPACE = 'SlackIngress';

  constructor(private readonly fn: lambda.IFunction) {}

  /** A sum of one of its counts. */
  count(name: DispatchCountName): cloudwatch.Metric {
    return this.own(name, 'Sum');
  }

  /** A statistic of one of its times. */
  time(name: DispatchTimeName, statistic: string): cloudwatch.Metric {
    return this.own(name, statistic);
  }

  /** A sum of one of Lambda's own counts. */
  lambda(name: 'Invocations' | 'Errors' | 'Throttles'): cloudwatch.Metric {
    return this.fn.metric(name, { statistic: 'Sum', period: Duration.minutes(5) });
  }

  /** Per cent of attempts that were put off; 0 while they are fewer than ten, which is one busy conversation. */
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
