// The CloudFormation stack of the consumer: the dispatcher, the agent and its tools.

import { CfnOutput, CrossStackReferences, ReferenceStrength, RemovalPolicy, Stack, type StackProps } from 'aws-cdk-lib';
import type * as agentcore from 'aws-cdk-lib/aws-bedrockagentcore';
import type * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import * as logs from 'aws-cdk-lib/aws-logs';
import type * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import type * as sns from 'aws-cdk-lib/aws-sns';
import type { Construct } from 'constructs';
import type { SlackIngress } from '../ingress/slack-ingress.ts';
import { DispatchAlarms } from './alarms.ts';
import { AgentDashboard } from './dashboard.ts';
import { AgentDispatch, type AgentDispatchProps, type AgentTarget } from './dispatch.ts';
import { AgentGateway, SLACK_DOCUMENT, botTokenSecret } from './gateway.ts';
import { DispatchMetrics } from './metrics.ts';
import { AgentRuntime } from './runtime.ts';

/** An agent that the stack deploys. The first four properties are those of `AgentRuntimeProps`. */
export interface OwnAgent {
  /** @default the directory that `make agent-zip` writes */
  readonly code?: string;
  /** @default `code` */
  readonly artifact?: agentcore.AgentRuntimeArtifact;
  /** @default 'echo' */
  readonly thinking?: string;
  /** @default none */
  readonly environment?: Record<string, string>;
  /**
   * A secret with the Slack app's bot token: `{"token": "xoxb-…"}`.
   * @default a secret is created, with a random value that you replace
   */
  readonly botToken?: secretsmanager.ISecret;
}

/** An agent that is deployed already. */
export interface ExistingAgent {
  readonly runtimeArn: string;
  /** @default 'DEFAULT' */
  readonly qualifier?: string;
}

type DispatchProps = Pick<
  AgentDispatchProps,
  'architecture' | 'agentTimeout' | 'timeout' | 'dedupTtl' | 'maxAttempts' | 'batchSize' | 'maxConcurrency' | 'logLevel'
>;

/** The properties of the consumer. */
export interface AgentProps extends DispatchProps {
  /** The code of `agent-dispatch`, of the same version as the ingress's. See `functionCode`. */
  readonly dispatchCode: AgentDispatchProps['code'];
  /** The agent that receives the events. @default the stack deploys one, with its tools */
  readonly agent?: OwnAgent | ExistingAgent;
  /** How long the dispatcher's log is kept. @default one month */
  readonly logRetention?: logs.RetentionDays;
  /** The topic that the alarms notify. @default none */
  readonly alarmTopic?: sns.ITopic;
  /** Whether a dashboard is created. @default true */
  readonly dashboard?: boolean;
  /** What happens to the secret and the dispatcher's log when they are removed from the stack. @default DESTROY */
  readonly removalPolicy?: RemovalPolicy;
}

export interface AgentStackProps extends StackProps {
  /** The ingress whose queue is consumed. The dispatcher also uses its dead-letter queue and its table. */
  readonly ingress: SlackIngress;
  /** Creates the consumer's props; called with the stack as the scope. See `agentProps` in `../settings/agent.ts`. */
  readonly agent: (scope: Construct) => AgentProps;
}

/**
 * A stack with the consumer of an ingress's queue: the dispatcher, the agent, its tools, and outputs that people need.
 */
export class AgentStack extends Stack {
  readonly dispatch: AgentDispatch;
  /** The agent's tools; absent if the agent was deployed already. Add more with `gateway.addTool`. */
  readonly gateway?: AgentGateway;
  /** The agent's runtime; absent if the agent was deployed already. */
  readonly runtime?: AgentRuntime;
  readonly alarms: cloudwatch.Alarm[];

  constructor(scope: Construct, id: string, props: AgentStackProps) {
    super(scope, id, props);
    const { queue, deadLetterQueue, table } = props.ingress;
    if (!queue || !deadLetterQueue) {
      throw new Error('AgentStack: the agent needs an ingress with a queue, and this one has a topic and no queue');
    }
    // With strong references, CloudFormation refuses to remove the queue or the table while this stack uses them.
    CrossStackReferences.of(this).consume(ReferenceStrength.STRONG);
    const { agent = {}, dispatchCode, alarmTopic, dashboard, ...rest } = props.agent(this);
    const logRetention = rest.logRetention ?? logs.RetentionDays.ONE_MONTH;
    const removalPolicy = rest.removalPolicy ?? RemovalPolicy.DESTROY;
    const output = (id: string, description: string, value: string) => new CfnOutput(this, id, { description, value });

    let target: AgentTarget;
    if ('runtimeArn' in agent) {
      const qualifier = agent.qualifier ?? 'DEFAULT';
      target = { runtimeArn: agent.runtimeArn, qualifier, endpointArn: `${agent.runtimeArn}/runtime-endpoint/${qualifier}` };
    } else {
      const { botToken = botTokenSecret(this, 'BotToken', removalPolicy), ...own } = agent;
      this.gateway = new AgentGateway(this, 'Gateway');
      this.gateway.addTool('slack', { document: SLACK_DOCUMENT, secret: botToken });
      this.runtime = new AgentRuntime(this, 'Runtime', { ...own, gateway: this.gateway });
      target = this.runtime;
      output('GatewayUrl', "The agent's tools, by MCP", this.gateway.url);
      output('GatewayArn', 'The same, to grant its use', this.gateway.gateway.gatewayArn);
      output('BotTokenSecretArn', "Where the Slack app's bot token goes, in JSON", botToken.secretArn);
    }

    this.dispatch = new AgentDispatch(this, 'Dispatch', {
      ...rest,
      code: dispatchCode,
      agent: target,
      queue,
      deadLetterQueue,
      table,
      logRetention,
      removalPolicy,
    });
    const metrics = new DispatchMetrics(this.dispatch.function);
    this.alarms = new DispatchAlarms(this, 'Alarms', { metrics, topic: alarmTopic }).all;

    output('RuntimeArn', 'The agent', target.runtimeArn);
    output('RuntimeQualifier', 'The endpoint of it that is called', target.qualifier);
    output('DispatchFunctionName', 'The dispatcher; also the dimension of its metrics', this.dispatch.function.functionName);
    if (dashboard ?? true) {
      const { dashboardName } = new AgentDashboard(this, 'Dashboard', { metrics, alarms: this.alarms }).dashboard;
      output(
        'AgentDashboardUrl',
        'What the dispatcher does',
        `https://${this.region}.console.aws.amazon.com/cloudwatch/home?region=${this.region}#dashboards/dashboard/${dashboardName}`,
      );
    }
  }
}
