// The dispatcher's alarms.

import type * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import type * as sns from 'aws-cdk-lib/aws-sns';
import { Construct } from 'constructs';
import { alarmFactory } from '../common/alarm.ts';
import type { DispatchMetrics } from './metrics.ts';

export interface DispatchAlarmsProps {
  readonly metrics: DispatchMetrics;
  /** The topic that alarms notify. @default none: an alarm only changes its state */
  readonly topic?: sns.ITopic;
}

/** The dispatcher's alarms. The alarms on the age of the queue and on the dead-letter queue belong to the ingress. */
export class DispatchAlarms extends Construct {
  readonly all: cloudwatch.Alarm[] = [];

  constructor(scope: Construct, id: string, { metrics, topic }: DispatchAlarmsProps) {
    super(scope, id);
    const alarm = alarmFactory(this, this.all, topic);
    alarm('DispatchErrors', 'the dispatcher ended with an error or was killed', metrics.lambda('Errors'), 0);
    alarm(
      'DeadLettered',
      'the dispatcher gave an event up: the agent failed on it every time, or it can never be taken',
      metrics.count('DeadLettered'),
      0,
    );
    // Three periods, a quarter of an hour: by then an agent has started, and a short outage is over.
    alarm(
      'Deferred',
      'most events are put off: the agent is throttled or busy, or the table is down',
      metrics.deferredShare(),
      50,
      [3, 3],
    );
  }
}
