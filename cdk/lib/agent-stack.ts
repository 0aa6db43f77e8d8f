import { CfnOutput, CrossStackReferences, ReferenceStrength, RemovalPolicy, Stack, type StackProps } from 'aws-cdk-lib';
import type * as agentcore from 'aws-cdk-lib/aws-bedrockagentcore';
import type * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import * as logs from 'aws-cdk-lib/aws-logs';
import type * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import type * as sns from 'aws-cdk-lib/aws-sns';
import type { Construct } from 'constructs';
import { DispatchAlarms } from './agent-alarms.ts';
import { AgentDashboard } from './agent-dashboard.ts';
import { AgentDispatch, type AgentDispatchProps, type AgentTarget } from './agent-dispatch.ts';
import { AgentGateway, SLACK_DOCUMENT, botTokenSecret } from './agent-gateway.ts';
import { DispatchMetrics } from './agent-metrics.ts';
import { AgentRuntime } from './agent-runtime.ts';
import type { SlackIngress } from './slack-ingress.ts';

/** The agent that is deployed. */
export interface OwnAgent {
  /** See `AgentRuntimeProps`. @default what `make agent-zip` leaves */
  readonly code?: string;
  /** @default `code` */
  readonly artifact?: agentcore.AgentRuntimeArtifact;
  /** @default 'echo' */
  readonly thinking?: string;
  /** @default none */
  readonly environment?: Record<string, string>;
  /**
   * A secret with the Slack app's bot token: `{"token": "xoxb-…"}`.
   * @default one is created, with a random value for you to replace
   */
  readonly botToken?: secretsmanager.ISecret;
}

/** An agent that is there already. */
export interface ExistingAgent {
  readonly runtimeArn: string;
  /** @default 'DEFAULT' */
  readonly qualifier?: string;
}

type DispatchProps = Pick<
  AgentDispatchProps,
  'architecture' | 'agentTimeout' | 'timeout' | 'dedupTtl' | 'maxAttempts' | 'batchSize' | 'maxConcurrency' | 'logLevel'
>;

/** What can be set about the consumer. */
export interface AgentProps extends DispatchProps {
  /** The function `agent-dispatch`, of the same version as the ingress's. See `functionCode`. */
  readonly dispatchCode: AgentDispatchProps['code'];
  /** @default one is deployed, with its tools */
  readonly agent?: OwnAgent | ExistingAgent;
  /** How long the dispatcher's log is kept. @default one month */
  readonly logRetention?: logs.RetentionDays;
  /** Where alarms are sent. @default nowhere */
  readonly alarmTopic?: sns.ITopic;
  /** Whether there is a dashboard. @default true */
  readonly dashboard?: boolean;
  /** What becomes of the secret and the dispatcher's log when they leave the stack. @default DESTROY */
  readonly removalPolicy?: RemovalPolicy;
}

export interface AgentStackProps extends StackProps {
  /** What feeds the agent: its queue, its dead-letter queue, its table. */
  readonly ingress: SlackIngress;
  /** What can be set about the consumer, made in the stack's scope. See `agentProps`. */
  readonly agent: (scope: Construct) => AgentProps;
}

/** The consumer of an ingress's queue: the dispatcher, the agent, its tools, and what one needs to know of them. */
export class AgentStack extends Stack {
  readonly dispatch: AgentDispatch;
  /** Unless the agent was there already. More tools: `gateway.addTool`. */
  readonly gateway?: AgentGateway;
  readonly runtime?: AgentRuntime;
  readonly alarms: cloudwatch.Alarm[];

  constructor(scope: Construct, id: string, props: AgentStackProps) {
    super(scope, id, props);
    const { queue, deadLetterQueue, table } = props.ingress;
    if (!queue || !deadLetterQueue) {
      throw new Error('AgentStack: the ingress has a topic and no queue, and the agent is fed by a queue');
    }
    // The queue and the table cannot be taken away while this stack reads them: CloudFormation refuses.
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
