// The dispatcher's dashboard.

import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import { Construct } from 'constructs';
import type { DispatchMetrics } from './metrics.ts';

export interface AgentDashboardProps {
  readonly metrics: DispatchMetrics;
  readonly alarms: cloudwatch.IAlarm[];
}

/** A dashboard of what the dispatcher does with the queue's events. The queue itself is on the ingress's dashboard. */
export class AgentDashboard extends Construct {
  readonly dashboard: cloudwatch.Dashboard;

  constructor(scope: Construct, id: string, { metrics, alarms }: AgentDashboardProps) {
    super(scope, id);
    const graph = (title: string, rest: Partial<cloudwatch.GraphWidgetProps>) =>
      new cloudwatch.GraphWidget({ title, width: 12, height: 6, ...rest });
    const count = (...names: Parameters<DispatchMetrics['count']>[0][]) => names.map((name) => metrics.count(name));
    const percentiles = (name: Parameters<DispatchMetrics['time']>[0]) => ({
      left: [metrics.time(name, 'p50').with({ label: 'p50' }), metrics.time(name, 'p99').with({ label: 'p99' })],
      leftYAxis: { min: 0, label: 'ms', showUnits: false },
    });

    this.dashboard = new cloudwatch.Dashboard(this, 'Resource');
    this.dashboard.addWidgets(new cloudwatch.AlarmStatusWidget({ title: 'Alarms', width: 24, height: 3, alarms }));
    this.dashboard.addWidgets(
      graph('Handed to the agent', { left: count('Dispatched', 'DispatchDuplicates'), stacked: true }),
      graph('Put off, failed, given up', {
        left: [...count('DispatchDeferred', 'DispatchFailures', 'DeadLettered'), metrics.lambda('Errors')],
        stacked: true,
      }),
    );
    this.dashboard.addWidgets(
      graph('Time until the agent has taken it', percentiles('InvokeTime')),
      graph('Time from Slack to the agent', percentiles('QueueTime')),
    );
    this.dashboard.addWidgets(
      graph('Cold starts', { left: [...count('ColdStarts'), metrics.lambda('Invocations'), metrics.lambda('Throttles')] }),
    );
  }
}
