// The CloudFormation stack of one ingress.

import { CfnOutput, Stack, type StackProps } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { dashboardUrl } from '../common/console';
import { SlackIngress, type SlackIngressProps } from './slack-ingress';

export interface SlackIngressStackProps extends StackProps {
  /**
   * Creates the ingress's props; called with the stack as the scope. See `ingressProps` in `../settings/ingress.ts`.
   */
  readonly ingress: (scope: Construct) => SlackIngressProps;
}

/** A stack with one ingress, and outputs with the URLs, ARNs and names that people need after the deployment. */
export class SlackIngressStack extends Stack {
  readonly ingress: SlackIngress;

  constructor(scope: Construct, id: string, props: SlackIngressStackProps) {
    super(scope, id, props);
    const ingress = new SlackIngress(this, 'Ingress', props.ingress(this));
    this.ingress = ingress;

    const output = (id: string, description: string, value: string) => new CfnOutput(this, id, { description, value });
    output('RequestUrl', 'Paste it into Slack (Event Subscriptions, Request URL)', ingress.eventsUrl);
    output('CommandsUrl', 'The same for slash commands', ingress.commandsUrl);
    output('InteractionsUrl', 'The same for interactivity', ingress.interactionsUrl);
    if (ingress.regionalEventsUrl && ingress.guardTable) {
      output('RegionalRequestUrl', 'The same in this region, whichever receives what Slack sends', ingress.regionalEventsUrl);
      output('GuardTableName', 'What consumers in both regions have done', ingress.guardTable.tableName);
    }
    if (ingress.guardTable) {
      // An agent that was deployed with one region still imports them while this stack becomes one of two.
      this.exportValue(ingress.table.tableArn);
      this.exportValue(ingress.table.tableName);
    }
    if (ingress._twoRegions?.switchCommands) {
      const { toStandby, back } = ingress._twoRegions.switchCommands;
      output('SwitchToStandby', 'Has this region receive what Slack sends (docs/two-regions.md)', toStandby);
      output('SwitchBack', 'Has the active region receive it again', back);
    }
    if (ingress.queue && ingress.deadLetterQueue) {
      output('QueueUrl', 'What the consumer reads', ingress.queue.queueUrl);
      output('QueueArn', 'The same, for an event source mapping', ingress.queue.queueArn);
      output('DeadLetterQueueUrl', 'What the consumer failed on', ingress.deadLetterQueue.queueUrl);
      output('DeadLetterQueueArn', 'The same, to send it back', ingress.deadLetterQueue.queueArn);
    }
    output('TableName', 'The event ids, and what is parked', ingress.table.tableName);
    output('FunctionName', 'The function; also the dimension of its metrics', ingress.function.functionName);
    output('RedriveFunctionName', 'The function that sends what is parked; also the dimension of its metrics', ingress.redrive.functionName);
    if (ingress.canary) output('CanaryFunctionName', 'The function that asks from outside; also the dimension of its metrics', ingress.canary.functionName);
    output('SigningSecretArn', "Where Slack's signing secret goes (docs/zero-to-slack.md)", ingress.signingSecret.secretArn);
    if (ingress.dashboard) {
      output(
        'DashboardUrl',
        'What it does',
        dashboardUrl(this, ingress.dashboard.dashboardName),
      );
    }
  }
}
