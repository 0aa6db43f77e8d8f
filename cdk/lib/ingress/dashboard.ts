// The ingress's dashboard.

import { Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import type * as sqs from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import type { CanaryMetrics } from './canary';
import type { FrontDoorMetrics } from './front-door';
import { type IngressMetrics, RETRY_REASONS } from './metrics';

export interface IngressDashboardProps {
  readonly metrics: IngressMetrics;
  readonly frontDoor: FrontDoorMetrics;
  /** Whether rules answer some requests at once. */
  readonly hasFastPath: boolean;
  /** @default there is no canary */
  readonly canary?: CanaryMetrics;
  readonly queue?: sqs.IQueue;
  readonly deadLetterQueue?: sqs.IQueue;
  readonly alarms: cloudwatch.IAlarm[];
  readonly ackBudget: Duration;
}

/** A dashboard of one screen: the requests, the time until they are answered, the failures, the events that wait. */
export class IngressDashboard extends Construct {
  readonly dashboard: cloudwatch.Dashboard;

  constructor(scope: Construct, id: string, props: IngressDashboardProps) {
    super(scope, id);
    const { metrics, frontDoor, hasFastPath, canary, queue, deadLetterQueue, alarms, ackBudget } = props;
    const period = Duration.minutes(5);
    const graph = (title: string, rest: Partial<cloudwatch.GraphWidgetProps>) =>
      new cloudwatch.GraphWidget({ title, width: 12, height: 6, ...rest });
    const count = (...names: Parameters<IngressMetrics['count']>[0][]) => names.map((name) => metrics.count(name));

    this.dashboard = new cloudwatch.Dashboard(this, 'Resource');
    this.dashboard.addWidgets(new cloudwatch.AlarmStatusWidget({ title: 'Alarms', width: 24, height: 3, alarms }));
    this.dashboard.addWidgets(
      graph('Deliveries', { left: count('Accepted', 'Duplicates', 'Ignored', 'Suggestions'), stacked: true }),
      graph("Slack's retries, by its reason", { left: RETRY_REASONS.map((reason) => metrics.retries(reason)), stacked: true }),
    );
    this.dashboard.addWidgets(
      graph('Time to the answer', {
        left: [
          metrics.time('AckTime', 'p50').with({ label: 'p50' }),
          metrics.time('AckTime', 'p99').with({ label: 'p99' }),
        ],
        leftYAxis: { min: 0, label: 'ms', showUnits: false },
        leftAnnotations: [
          { value: 3000, label: 'Slack gives up', color: cloudwatch.Color.RED },
          { value: ackBudget.toMilliseconds(), label: 'we answer 503', color: cloudwatch.Color.ORANGE },
        ],
      }),
      graph('Time of each step, p99', {
        left: (['VerifyTime', 'RecordTime', 'SendTime', 'SettleTime'] as const).map((name) =>
          metrics.time(name, 'p99').with({ label: name }),
        ),
        leftYAxis: { min: 0, label: 'ms', showUnits: false },
      }),
    );
    this.dashboard.addWidgets(
      graph("Failed attempts, and Slack's rule", {
        left: [metrics.slackFailureShare()],
        leftYAxis: { min: 0, max: 100, label: '%', showUnits: false },
        leftAnnotations: [{ value: 95, label: 'Slack disables the app', color: cloudwatch.Color.RED }],
      }),
      graph('What failed', {
        left: [
          ...count('Unavailable', 'InFlight', 'Rejected', 'Malformed', 'RateLimited'),
          metrics.lambdaCount('Errors'),
          metrics.lambdaCount('Throttles'),
        ],
        stacked: true,
      }),
    );
    this.dashboard.addWidgets(
      graph('At the front door', { left: [...frontDoor.answers, ...(frontDoor.throttled ? [frontDoor.throttled] : []), frontDoor.errors] }),
      graph('Time at the front door', { left: frontDoor.times, leftYAxis: { min: 0, label: 'ms', showUnits: false } }),
    );
    this.dashboard.addWidgets(
      graph('Cold starts', { left: [...count('ColdStarts'), metrics.lambdaCount('Invocations')] }),
      graph('Lease take-overs and unguarded sends', { left: count('LeaseTakeovers', 'Unguarded') }),
    );
    this.dashboard.addWidgets(
      graph('Parked, redriven, lost', {
        left: [
          ...count('Parked', 'Lost'),
          metrics.redrive('Redriven', 'Sum'),
          metrics.redrive('RedriveFailures', 'Sum'),
        ],
      }),
      graph('Still parked', {
        left: [metrics.redrive('ParkedEvents', 'Maximum')],
        leftYAxis: { min: 0 },
        right: [metrics.redrive('OldestParkedAge', 'Maximum')],
        rightYAxis: { min: 0, label: 's', showUnits: false },
      }),
    );
    if (hasFastPath) {
      this.dashboard.addWidgets(
        graph('Answered by rules', { left: count('FastPathAnswered', 'AnsweredAtOnce', 'FastPathFailed') }),
        graph("Time of the rules' calls", {
          left: ['p50', 'p99'].map((it) => metrics.time('FastPathTime', it).with({ label: it })),
          leftYAxis: { min: 0, label: 'ms', showUnits: false },
        }),
      );
    }
    if (canary) {
      this.dashboard.addWidgets(
        graph('The canary: failed', { left: [canary.failed], leftYAxis: { min: 0, max: 1 } }),
        graph('The canary: time of the answer', { left: [canary.time], leftYAxis: { min: 0, label: 'ms', showUnits: false } }),
      );
    }
    if (!queue || !deadLetterQueue) return;
    this.dashboard.addWidgets(
      graph('On the queue', {
        left: [
          queue.metricApproximateNumberOfMessagesVisible({ period, statistic: 'Maximum', label: 'waiting' }),
          queue.metricApproximateNumberOfMessagesNotVisible({ period, statistic: 'Maximum', label: 'at work' }),
          deadLetterQueue.metricApproximateNumberOfMessagesVisible({ period, statistic: 'Maximum', label: 'dead letters' }),
        ],
      }),
      graph('Age of the oldest event on the queue', {
        left: [queue.metricApproximateAgeOfOldestMessage({ period, statistic: 'Maximum', label: 'oldest' })],
        leftYAxis: { min: 0, label: 's', showUnits: false },
      }),
    );
  }
}
