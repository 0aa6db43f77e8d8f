// The form that all alarms of this project have.

import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import type * as sns from 'aws-cdk-lib/aws-sns';
import type { Construct } from 'constructs';

/**
 * Returns a function that creates alarms in `scope` and appends each one to `all`. An alarm is raised when the metric
 * is above the threshold in `datapointsToAlarm` of the last `evaluationPeriods` periods, and then notifies `topic`. When it
 * is over it notifies the topic again, so that what opened an incident also closes it.
 */
export function alarmFactory(scope: Construct, all: cloudwatch.Alarm[], topic?: sns.ITopic) {
  return (
    id: string,
    description: string,
    metric: cloudwatch.IMetric,
    threshold: number,
    [datapointsToAlarm, evaluationPeriods]: [number, number] = [1, 1],
    treatMissingData = cloudwatch.TreatMissingData.NOT_BREACHING,
  ): void => {
    const alarm = new cloudwatch.Alarm(scope, id, {
      alarmDescription: `slack-ingress: ${description}`,
      metric,
      threshold,
      comparisonOperator: cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
      datapointsToAlarm,
      evaluationPeriods,
      treatMissingData,
    });
    if (topic) {
      alarm.addAlarmAction(new SnsAction(topic));
      alarm.addOkAction(new SnsAction(topic));
    }
    all.push(alarm);
  };
}
