// The dashboard of what is behind the queue.

import { Duration } from 'aws-cdk-lib';
import type * as agentcore from 'aws-cdk-lib/aws-bedrockagentcore';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import { Construct } from 'constructs';
import type { AgentMetrics, DispatchCountName, SettleCountName } from './metrics';
import type { AgentRuntime } from './runtime';

export interface AgentDashboardProps {
  readonly metrics: AgentMetrics;
  readonly alarms: cloudwatch.IAlarm[];
  readonly unansweredAfter: Duration;
  /** agent-settle's Gateway. */
  readonly settleGateway: agentcore.Gateway;
  /** The Gateway with the agent's tools. @default none: the agent was deployed already */
  readonly toolsGateway?: agentcore.Gateway;
  /** @default none: the agent was deployed already */
  readonly runtime?: AgentRuntime;
}

/** A dashboard of the way from the queue to the answer. The queue itself is on the ingress's dashboard. */
export class AgentDashboard extends Construct {
  readonly dashboard: cloudwatch.Dashboard;

  constructor(scope: Construct, id: string, props: AgentDashboardProps) {
    super(scope, id);
    const { metrics, alarms, unansweredAfter, settleGateway, toolsGateway, runtime } = props;
    const { dispatch, settle } = metrics;
    const graph = (title: string, rest: Partial<cloudwatch.GraphWidgetProps>) =>
      new cloudwatch.GraphWidget({ title, width: 12, height: 6, ...rest });
    const dispatched = (...names: DispatchCountName[]) => names.map((name) => dispatch.count(name));
    const settled = (...names: SettleCountName[]) => names.map((name) => settle.count(name));
    const percentiles = (metric: (statistic: string) => cloudwatch.Metric, label = 'ms') => ({
      left: ['p50', 'p99'].map((statistic) => metric(statistic).with({ label: statistic })),
      leftYAxis: { min: 0, label, showUnits: false },
    });

    this.dashboard = new cloudwatch.Dashboard(this, 'Resource');
    this.dashboard.addWidgets(new cloudwatch.AlarmStatusWidget({ title: 'Alarms', width: 24, height: 3, alarms }));
    this.dashboard.addWidgets(
      graph('How questions end', {
        left: settled('Answered', 'Told', 'Untold', 'Stopped', 'TurnedAway', 'OverLimit'),
        stacked: true,
      }),
      graph('Oldest question without an answer', {
        left: [metrics.oldestUnanswered()],
        leftYAxis: { min: 0, label: 'ms', showUnits: false },
        leftAnnotations: [{ value: unansweredAfter.toMilliseconds(), label: 'alarm', color: cloudwatch.Color.RED }],
      }),
    );
    this.dashboard.addWidgets(
      graph("From Slack's request to the first sign", percentiles((it) => settle.time('TimeToFirstSign', it))),
      graph("From Slack's request to the answer", percentiles((it) => settle.time('TimeToAnswer', it))),
    );
    this.dashboard.addWidgets(
      graph('What could not be posted, by reason', { left: [settle.failuresByReason()], stacked: true }),
      graph('Outcome unknown, and attempts a question', {
        left: settled('OutcomeUnknown'),
        right: [settle.attempts('Average').with({ label: 'average' }), settle.attempts('Maximum').with({ label: 'most' })],
        rightYAxis: { min: 0, label: 'attempts', showUnits: false },
      }),
    );
    this.dashboard.addWidgets(
      graph('Tokens that questions used', { left: settled('Tokens') }),
      graph('Limits of the day that were reached', { left: [settle.limitsReached()], stacked: true }),
    );
    this.dashboard.addWidgets(
      graph('Handed to the agent, or nothing to do', {
        left: dispatched('Dispatched', 'DispatchDuplicates', 'NoQuestion', 'Withdrawn'),
        stacked: true,
      }),
      graph('Put off, failed, given up', {
        left: [...dispatched('DispatchDeferred', 'DispatchFailures', 'DeadLettered'), dispatch.lambdaCount('Errors')],
        stacked: true,
      }),
    );
    this.dashboard.addWidgets(
      graph('What people say of answers', { left: dispatched('FeedbackGood', 'FeedbackBad'), stacked: true }),
      graph("The app's pane opened", { left: dispatched('PanesOpened') }),
    );
    this.dashboard.addWidgets(
      graph('Time of the call of the agent', percentiles((it) => dispatch.time('InvokeTime', it))),
      graph('Time from Slack to the dispatcher', percentiles((it) => dispatch.time('QueueTime', it))),
    );
    this.dashboard.addWidgets(
      graph('agent-dispatch', {
        left: [...dispatched('ColdStarts'), dispatch.lambdaCount('Invocations'), dispatch.lambdaCount('Throttles')],
      }),
      graph('agent-settle', {
        left: [...settled('ColdStarts'), ...(['Invocations', 'Errors', 'Throttles'] as const).map((it) => settle.lambdaCount(it))],
        right: [settle.duration('p99').with({ label: 'p99' }), settle.duration('Maximum').with({ label: 'longest' })],
        rightYAxis: { min: 0, label: 'ms', showUnits: false },
      }),
    );
    // AgentCore sends these metrics. Their names and dimensions are those of the CDK, and were not seen in an account.
    const period = Duration.minutes(5);
    const gateways = [
      { name: 'for agent-settle', gateway: settleGateway },
      ...(toolsGateway ? [{ name: "for the agent's tools", gateway: toolsGateway }] : []),
    ];
    for (const { name, gateway } of gateways) {
      this.dashboard.addWidgets(
        graph(`AgentCore Gateway ${name}: calls`, {
          left: [
            gateway.metricInvocations({ period }),
            gateway.metricThrottles({ period }),
            gateway.metricSystemErrors({ period }),
            gateway.metricUserErrors({ period }),
          ],
        }),
        graph(`AgentCore Gateway ${name}: times`, {
          left: [
            gateway.metricDuration({ period, statistic: 'p99', label: 'whole call, p99' }),
            gateway.metricTargetExecutionTime({ period, statistic: 'p99', label: 'Slack, p99' }),
          ],
          leftYAxis: { min: 0, label: 'ms', showUnits: false },
        }),
      );
    }
    if (!runtime) return;
    const endpoint = { period, dimensionsMap: { Name: `${runtime.runtime.agentRuntimeName}::${runtime.qualifier}` } };
    this.dashboard.addWidgets(
      graph('AgentCore Runtime: calls', {
        left: [
          runtime.runtime.metricInvocations(endpoint),
          runtime.runtime.metricThrottles(endpoint),
          runtime.runtime.metricSystemErrors(endpoint),
          runtime.runtime.metricUserErrors(endpoint),
        ],
      }),
      graph('AgentCore Runtime: time of a call', {
        left: [runtime.runtime.metricLatency({ ...endpoint, statistic: 'p99', label: 'p99' })],
        leftYAxis: { min: 0, label: 'ms', showUnits: false },
      }),
    );
  }
}
