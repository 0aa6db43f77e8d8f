import type * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import type * as sns from 'aws-cdk-lib/aws-sns';
import { Construct } from 'constructs';
import type { DispatchMetrics } from './agent-metrics.ts';
import { alarmsIn } from './alarms.ts';

export interface DispatchAlarmsProps {
  readonly metrics: DispatchMetrics;
  /** Where alarms are sent. @default nowhere: they only change colour */
  readonly topic?: sns.ITopic;
}

/** The dispatcher's alarms. Those on the queue's age and on dead letters, whoever sent them there, are the ingress's. */
export class DispatchAlarms extends Construct {
  readonly all: cloudwatch.Alarm[] = [];

  constructor(scope: Construct, id: string, { metrics, topic }: DispatchAlarmsProps) {
    super(scope, id);
    const alarm = alarmsIn(this, this.all, topic);
    alarm('DispatchErrors', 'the dispatcher ended with an error or was killed', metrics.lambda('Errors'), 0);
    alarm(
      'DeadLettered',
      'the dispatcher gave an event up: the agent failed on it every time, or it can never be taken',
      metrics.count('DeadLettered'),
      0,
    );
    // A quarter of an hour: an agent that starts, or a short outage, is over by then.
    alarm(
      'Deferred',
      'most events are put off: the agent is throttled or busy, or the table is down',
      metrics.deferredShare(),
      50,
      [3, 3],
    );
  }
}
