// The CloudFormation stack of the consumer: the dispatcher, agent-settle, the agent and its tools.

import {
  CfnOutput,
  CrossStackReferences,
  Duration,
  ReferenceStrength,
  RemovalPolicy,
  Stack,
  type StackProps,
} from 'aws-cdk-lib';
import type * as agentcore from 'aws-cdk-lib/aws-bedrockagentcore';
import type * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import * as logs from 'aws-cdk-lib/aws-logs';
import type * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import type * as sns from 'aws-cdk-lib/aws-sns';
import type { Construct } from 'constructs';
import type { SlackIngress } from '../ingress/slack-ingress';
import { AgentAlarms } from './alarms';
import { ApiCredential } from './credential';
import { AgentDashboard } from './dashboard';
import { AgentDispatch, type AgentDispatchProps, type AgentTarget } from './dispatch';
import {
  AgentGateway,
  CANVASES_DOCUMENT,
  CANVASES_TARGET,
  SETTLE_DOCUMENT,
  SLACK_DOCUMENT,
  SLACK_TARGET,
  botTokenSecret,
} from './gateway';
import { AgentMemory, type AgentMemoryProps } from './memory';
import { AgentMetrics, RotationMetrics } from './metrics';
import { TokenRotation, putAppCredentials } from './rotation';
import { AgentRuntime } from './runtime';
import { AgentSettle, type AgentSettleProps, type ToolsGateway } from './settle';
import { TRELLO_TARGET, putTrelloCredential, trelloSecret, trelloTools } from './trello';
import { WORKSPACE_TARGETS, Workspaces, type WorkspacesProps } from './workspaces';

/** Trello's boards and cards as tools of the agent. */
export interface TrelloProps {
  /**
   * A secret with Trello's API key and token: `{"authorization": "oauth_consumer_key=\"…\", oauth_token=\"…\""}`.
   * @default a secret is created, with a random value that you replace
   */
  readonly secret?: secretsmanager.ISecret;
}

/** An agent that the stack deploys, and its tools. The other properties are those of `AgentRuntimeProps`. */
export interface OwnAgent {
  /** Adds tools for Trello. @default there are none */
  readonly trello?: TrelloProps;
  /** @default the directory that `make agent-zip` writes */
  readonly code?: string;
  /** @default `code` */
  readonly artifact?: agentcore.AgentRuntimeArtifact;
  /** @default 'echo' */
  readonly thinking?: string;
  /** @default none */
  readonly tools?: string;
  /** @default none */
  readonly environment?: Record<string, string>;
  /** @default 'off' */
  readonly tracing?: 'adot' | 'off';
  /** @default 'post' */
  readonly answer?: 'post' | 'stream';
  /** Has the agent remember people from one conversation to the next. @default it does not */
  readonly memory?: Pick<AgentMemoryProps, 'days'>;
}

/**
 * An agent that is deployed already. With the protocol `work` its role needs `lambda:InvokeFunction` on agent-settle, and
 * its environment the function's ARN (the stack's output `SettleFunctionArn`).
 */
export interface ExistingAgent {
  readonly runtimeArn: string;
  /** @default 'DEFAULT' */
  readonly qualifier?: string;
  /** The Gateway of its tools, if agent-settle shall call those that change something. @default it calls none */
  readonly toolsGateway?: ToolsGateway;
}

type DispatchProps = Pick<
  AgentDispatchProps,
  | 'architecture'
  | 'agentProtocol'
  | 'agentEvents'
  | 'agentTimeout'
  | 'timeout'
  | 'maxAttempts'
  | 'giveUpAfter'
  | 'postWait'
  | 'batchSize'
  | 'maxConcurrency'
  | 'logLevel'
  | 'tracing'
>;

type PaneProps = Pick<AgentSettleProps, 'suggestedPrompts' | 'sessionTitles' | 'feedbackButtons'>;

/** The properties of the consumer. */
export interface AgentProps extends DispatchProps, PaneProps {
  /** The code of `agent-dispatch`, of the same version as the ingress's. See `functionCode`. */
  readonly dispatchCode: AgentDispatchProps['code'];
  /** The code of `agent-settle`, of the same version. */
  readonly settleCode: AgentDispatchProps['code'];
  /** The agent that receives the events. @default the stack deploys one, with its tools */
  readonly agent?: OwnAgent | ExistingAgent;
  /**
   * A secret with the Slack app's bot token: `{"token": "xoxb-…"}`.
   * @default a secret is created, with a random value that you replace
   */
  readonly botToken?: secretsmanager.ISecret;
  /**
   * The installations of the app. For any other one nothing is ever posted.
   * @default the app is installed once, and whoever asks is answered by the one bot token
   */
  readonly workspaces?: WorkspacesProps;
  /**
   * The code of `token-rotation`, of the same version as the others. With it the bot tokens may be ones that expire, and new
   * ones are got in time.
   * @default the tokens do not expire
   */
  readonly rotationCode?: AgentDispatchProps['code'];
  /**
   * Whether the files of a question are read. agent-settle then may read the bot token, by which it downloads them, and the
   * Slack app needs the scope `files:read`.
   * @default false
   */
  readonly files?: boolean;
  /**
   * Whether the Slack app is an agent (`agent_view` in its manifest), with a stop button and a conversation for each root
   * message of a direct message. The ingress then needs `dmConversation: 'thread'`.
   * @default true
   */
  readonly agentView?: boolean;
  /** How long after Slack's request a question may be without an answer before an alarm is raised. @default 15 minutes */
  readonly unansweredAfter?: Duration;
  /** How long the functions' logs are kept. @default one month */
  readonly logRetention?: logs.RetentionDays;
  /** The topic that the alarms notify. @default none */
  readonly alarmTopic?: sns.ITopic;
  /** Whether a dashboard is created. @default true */
  readonly dashboard?: boolean;
  /** What happens to the secret and the functions' logs when they are removed from the stack. @default DESTROY */
  readonly removalPolicy?: RemovalPolicy;
}

export interface AgentStackProps extends StackProps {
  /** The ingress whose queue is consumed. The dispatcher also uses its dead-letter queue and its table. */
  readonly ingress: SlackIngress;
  /** Creates the consumer's props; called with the stack as the scope. See `agentProps` in `../settings/agent.ts`. */
  readonly agent: (scope: Construct) => AgentProps;
}

/**
 * A stack with the consumer of an ingress's queue: the dispatcher, agent-settle, the agent, its tools, and outputs that
 * people need.
 */
export class AgentStack extends Stack {
  readonly dispatch: AgentDispatch;
  readonly settle: AgentSettle;
  /** What gets new bot tokens; absent if the tokens do not expire. */
  readonly rotation?: TokenRotation;
  /** The agent's tools; absent if the agent was deployed already. Add more with `gateway.addTool`. */
  readonly gateway?: AgentGateway;
  /** The agent's runtime; absent if the agent was deployed already. */
  readonly runtime?: AgentRuntime;
  readonly alarms: cloudwatch.Alarm[];

  constructor(scope: Construct, id: string, props: AgentStackProps) {
    super(scope, id, props);
    const { queue, deadLetterQueue, table, dmConversation } = props.ingress;
    if (!queue || !deadLetterQueue) {
      throw new Error('AgentStack: the agent needs an ingress with a queue, and this one has a topic and no queue');
    }
    // With strong references, CloudFormation refuses to remove the queue or the table while this stack uses them.
    CrossStackReferences.of(this).consume(ReferenceStrength.STRONG);
    const { agent = {}, dispatchCode, settleCode, rotationCode, alarmTopic, dashboard, agentView = true, ...rest } = props.agent(this);
    if (agentView && dmConversation !== 'thread') {
      throw new Error(
        "AgentStack: in an app with agent_view each root message of a direct message starts a conversation, so the ingress needs dmConversation 'thread' (or set agentView to false)",
      );
    }
    const unansweredAfter = rest.unansweredAfter ?? Duration.minutes(15);
    const logRetention = rest.logRetention ?? logs.RetentionDays.ONE_MONTH;
    const removalPolicy = rest.removalPolicy ?? RemovalPolicy.DESTROY;
    const output = (id: string, description: string, value: string) => new CfnOutput(this, id, { description, value });

    const botToken = rest.botToken ?? botTokenSecret(this, 'BotToken', removalPolicy);
    const credential = new ApiCredential(this, 'BotTokenCredential', { secret: botToken });
    const shared = { ...rest, queue, table, logRetention, removalPolicy };

    const settleGateway = new AgentGateway(this, 'SettleGateway', { description: 'what agent-settle does in Slack' });
    settleGateway.addTool(SLACK_TARGET, { document: SETTLE_DOCUMENT, credential });
    const workspaces =
      rest.workspaces &&
      new Workspaces(this, 'Workspaces', { ...rest.workspaces, secret: botToken, credential, settleGateway, removalPolicy });
    const settle = (toolsGateway?: ToolsGateway, workspacesGateway?: AgentGateway) =>
      new AgentSettle(this, 'Settle', {
        ...shared,
        code: settleCode,
        gateway: settleGateway,
        toolsGateway,
        workspaces,
        workspacesGateway,
        filesToken: rest.files ? botToken : undefined,
      });

    let target: AgentTarget;
    if ('runtimeArn' in agent) {
      this.settle = settle(agent.toolsGateway);
      const qualifier = agent.qualifier ?? 'DEFAULT';
      target = { runtimeArn: agent.runtimeArn, qualifier, endpointArn: `${agent.runtimeArn}/runtime-endpoint/${qualifier}` };
    } else {
      this.gateway = new AgentGateway(this, 'Gateway');
      // With several installations the agent's role must reach none of their tokens.
      const several = workspaces?.areSeveral ? workspaces : undefined;
      const reachable = several?.noToken() ?? credential;
      this.settle = settle({ url: this.gateway.url, arn: this.gateway.gateway.gatewayArn }, several?.toolsGateway());
      this.gateway.addTool(SLACK_TARGET, { document: SLACK_DOCUMENT, credential: reachable });
      this.gateway.addTool(CANVASES_TARGET, { document: CANVASES_DOCUMENT, credential: reachable });
      const { trello, memory: remembers, ...own } = agent;
      if (trello) {
        const secret = trello.secret ?? trelloSecret(this, 'TrelloCredential', removalPolicy);
        this.gateway.addTool(TRELLO_TARGET, trelloTools(secret));
        output('TrelloSecretArn', "Where Trello's API key and token go, in JSON", secret.secretArn);
        if (!trello.secret) {
          output(
            'PutTheTrelloCredential',
            "Still to be done, unless you have: until then Trello refuses every call of its tools. Paste the API key, press Enter, then paste the token, after this command",
            putTrelloCredential(secret.secretArn, this.region),
          );
        }
      }
      const memory = remembers && new AgentMemory(this, 'People', { ...remembers, removalPolicy });
      if (memory) output('MemoryId', 'What the agent remembers of people', memory.memoryId);
      this.runtime = new AgentRuntime(this, 'Runtime', {
        ...own,
        memory,
        gateway: this.gateway,
        settle: this.settle.function,
        workspaceTools: several && WORKSPACE_TARGETS,
      });
      target = this.runtime;
      output('GatewayUrl', "The agent's tools, by MCP", this.gateway.url);
      output('GatewayArn', 'The same, to grant its use', this.gateway.gateway.gatewayArn);
    }

    this.dispatch = new AgentDispatch(this, 'Dispatch', {
      ...shared,
      code: dispatchCode,
      agent: target,
      settle: this.settle.function,
      deadLetterQueue,
      dmConversation,
    });
    const metrics = new AgentMetrics(this.dispatch.function, this.settle.function, queue, deadLetterQueue);
    const botTokens = workspaces?.installations.map((it) => it.secret) ?? [botToken];
    this.rotation = rotationCode && new TokenRotation(this, 'TokenRotation', { ...shared, code: rotationCode, botTokens });
    const rotation = this.rotation && new RotationMetrics(this.rotation.function);
    this.alarms = new AgentAlarms(this, 'Alarms', { metrics, rotation, unansweredAfter, topic: alarmTopic }).all;

    // A token that is pasted has no refresh token with it.
    const [put, howToPut] = this.rotation
      ? [installBotToken, 'With SLACK_CLIENT_SECRET set, run this command with the client id of the app: docs/slack-app.md']
      : [putBotToken, 'Paste the token of that installation (xoxb-…) after this command'];
    output('BotTokenSecretArn', "Where the Slack app's bot token goes, in JSON", botToken.secretArn);
    if (!rest.botToken) {
      output(
        'PutTheBotToken',
        `Still to be done, unless you have: until the token is put, no question is answered. ${howToPut}`,
        put(botToken.secretArn, this.region),
      );
    }
    for (const { tenant, secret, isCreated } of workspaces?.installations.slice(1) ?? []) {
      output(`BotTokenSecretArn${tenant}`, `Where the bot token of the installation in ${tenant} goes, in JSON`, secret.secretArn);
      if (!isCreated) continue;
      output(
        `PutTheBotToken${tenant}`,
        `Still to be done, unless you have: until its token is put, no question from ${tenant} is answered. ${howToPut}`,
        put(secret.secretArn, this.region),
      );
    }
    if (this.rotation) {
      const { secretArn } = this.rotation.appCredentials;
      output('AppCredentialsSecretArn', "Where the app's client id and client secret go, in JSON", secretArn);
      output(
        'PutTheAppCredentials',
        'Still to be done, unless you have: until then no token is renewed. Paste the client id, press Enter, then paste the client secret, after this command',
        putAppCredentials(secretArn, this.region),
      );
      output('RotationFunctionName', 'What gets new bot tokens; also the dimension of its metrics', this.rotation.function.functionName);
    }
    output('AgentView', 'Whether the Slack app is an agent; its manifest needs to know', String(agentView));
    output('SuggestsPrompts', 'Whether prompts are suggested; its manifest needs to know', String(rest.suggestedPrompts !== undefined));
    output('RotatesTokens', 'Whether the bot tokens may expire; its manifest needs to know', String(this.rotation !== undefined));
    output('ReadsFiles', 'Whether files of questions are read; its manifest needs to know', String(rest.files ?? false));
    output('RuntimeArn', 'The agent', target.runtimeArn);
    output('RuntimeQualifier', 'The endpoint of it that is called', target.qualifier);
    output('DispatchFunctionName', 'The dispatcher; also the dimension of its metrics', this.dispatch.function.functionName);
    output('SettleFunctionName', 'agent-settle; also the dimension of its metrics', this.settle.function.functionName);
    output('SettleFunctionArn', 'The same, for an agent of your own', this.settle.function.functionArn);
    if (dashboard ?? true) {
      const { dashboardName } = new AgentDashboard(this, 'Dashboard', {
        metrics,
        alarms: this.alarms,
        unansweredAfter,
        settleGateway: settleGateway.gateway,
        toolsGateway: this.gateway?.gateway,
        runtime: this.runtime,
      }).dashboard;
      output(
        'AgentDashboardUrl',
        'The way from the queue to the answer',
        `https://${this.region}.console.aws.amazon.com/cloudwatch/home?region=${this.region}#dashboards/dashboard/${dashboardName}`,
      );
    }
  }
}

/** Returns the command that puts a bot token, which it reads, into a secret. */
function putBotToken(secretArn: string, region: string): string {
  return (
    `read -rs BOT_TOKEN; aws secretsmanager put-secret-value --region ${region} --secret-id ${secretArn} ` +
    '--secret-string file:///dev/stdin <<<"{\\"token\\": \\"$BOT_TOKEN\\"}"'
  );
}

/** Returns the command that installs the app and puts its bot token, with the refresh token, into a secret. */
function installBotToken(secretArn: string, region: string): string {
  return `AWS_REGION=${region} slack-dev install --secret-id ${secretArn} --client-id`;
}
