// What the front door counts by itself, also of requests that never reach the function.

import { Duration } from 'aws-cdk-lib';
import type * as apigatewayv2 from 'aws-cdk-lib/aws-apigatewayv2';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import type * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';
import type { IngressMetrics } from './metrics';

/** The metrics of a front door, in periods of five minutes. */
export interface FrontDoorMetrics {
  /** All requests, answers with 4xx, and answers with 5xx, whoever gave them. */
  readonly answers: cloudwatch.Metric[];
  /**
   * The requests that the front door turned away with 429.
   * @default none: it has no throttle of its own, and Lambda's `Throttles` has what Lambda turns away
   */
  readonly throttled?: cloudwatch.Metric;
  /** The answers with 5xx that are neither the function's own nor those of a function that failed. */
  readonly errors: cloudwatch.IMetric;
  /** The slowest hundredth of the answers, in milliseconds. */
  readonly times: cloudwatch.Metric[];
}

const PERIOD = Duration.minutes(5);
const NAMESPACE = 'SlackIngress';

/** The fields of the HTTP API's access log from which its metrics are made. The log writes every value as a text. */
export const METRIC_FIELDS = {
  apiId: '$context.apiId',
  status: '$context.status',
  integrationError: '$context.integrationErrorMessage',
  // What Lambda says to API Gateway, and not what the function says: 200 also of a function that failed.
  integrationStatus: '$context.integration.integrationStatus',
};

/**
 * The metrics of an HTTP API. API Gateway has none for 429, and none that tells an error of its own from one that the function
 * answered: these two are counted in the access log, where a value that there is not is written as `-`. Their dimension is the
 * API's id, so that two stacks of an account do not count together.
 *
 * @param hasPages whether there are pages for installing. A page that does not come is no event that is lost, so the errors of GET
 *   routes are not counted. What was turned away is: Slack's requests share the throttle with the pages
 */
export function httpApiMetrics(
  scope: Construct,
  api: apigatewayv2.HttpApi,
  accessLog: logs.LogGroup,
  hasPages: boolean,
): FrontDoorMetrics {
  const notOfPages = hasPages ? ' && ($.routeKey != "GET *")' : '';
  const counted = (metricName: string, pattern: string) => {
    new logs.MetricFilter(scope, `${metricName}Filter`, {
      logGroup: accessLog,
      filterPattern: logs.FilterPattern.literal(`{ ${pattern} && ($.apiId = "*") }`),
      metricNamespace: NAMESPACE,
      metricName,
      dimensions: { ApiId: '$.apiId' },
    });
    return new cloudwatch.Metric({
      namespace: NAMESPACE,
      metricName,
      dimensionsMap: { ApiId: api.apiId },
      statistic: 'Sum',
      period: PERIOD,
    });
  };
  const of = { period: PERIOD, statistic: 'Sum' };
  const slowest = { period: PERIOD, statistic: 'p99' };
  return {
    answers: [
      api.metricCount({ ...of, label: 'requests' }),
      api.metricClientError({ ...of, label: '4xx' }),
      api.metricServerError({ ...of, label: '5xx' }),
    ],
    throttled: counted('ApiThrottled', '($.status = "429")'),
    errors: counted('ApiErrors', `($.status = "5*") && ($.integrationError != "-") && ($.integrationStatus != "200")${notOfPages}`),
    times: [
      api.metricLatency({ ...slowest, label: 'whole, p99' }),
      api.metricIntegrationLatency({ ...slowest, label: 'function, p99' }),
    ],
  };
}

/**
 * The metrics of a Function URL. It has no access log, so its own errors are what is left of the answers with 5xx without those
 * that the function counts, and without the invocations that failed.
 */
export function functionUrlMetrics(fn: lambda.IFunction, metrics: IngressMetrics): FrontDoorMetrics {
  const of = (name: string, statistic: string, label: string) => fn.metric(name, { period: PERIOD, statistic, label });
  const answered = of('Url5xxCount', 'Sum', '5xx');
  return {
    answers: [of('UrlRequestCount', 'Sum', 'requests'), of('Url4xxCount', 'Sum', '4xx'), answered],
    errors: new cloudwatch.MathExpression({
      label: '5xx of the URL itself',
      expression: 'FILL(answered, 0) - FILL(unavailable, 0) - FILL(inflight, 0) - FILL(errors, 0)',
      usingMetrics: {
        answered,
        unavailable: metrics.count('Unavailable'),
        inflight: metrics.count('InFlight'),
        errors: metrics.lambdaCount('Errors'),
      },
      period: PERIOD,
    }),
    times: [of('UrlRequestLatency', 'p99', 'whole, p99')],
  };
}
