// The consumer of an ingress's queue as a construct: the dispatcher, agent-settle, the agent and its tools.

import { Duration } from 'aws-cdk-lib';
import type * as agentcore from 'aws-cdk-lib/aws-bedrockagentcore';
import type * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import type * as dynamodb from 'aws-cdk-lib/aws-dynamodb';
import type * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import type * as s3 from 'aws-cdk-lib/aws-s3';
import type * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import type { Binary } from '../common/bootstrap';
import { checkChoice } from '../common/limits';
import { packagedCode } from '../common/packaged';
import { KEPT } from '../common/removal';
import { AgentAlarms } from './alarms';
import { problemsOfTools } from './approvals';
import { AgentAudit } from './audit';
import { ApiCredential } from './credential';
import { AgentDashboard } from './dashboard';
import { AgentDispatch, type AgentTarget } from './dispatch';
import {
  AgentGateway,
  CANVASES_DOCUMENT,
  CANVASES_TARGET,
  SETTLE_DOCUMENT,
  SLACK_DOCUMENT,
  SLACK_TARGET,
  botTokenSecret,
} from './gateway';
import { A_DAY, whole } from './limits';
import { AgentMemory } from './memory';
import { AgentMetrics, RotationMetrics } from './metrics';
import type { ExistingAgent, OwnAgent, SlackAgentProps, ToolsGateway } from './props';
import { TokenRotation } from './rotation';
import { AgentRuntime } from './runtime';
import { AgentSettle } from './settle';
import { TRELLO_TARGET, trelloSecret, trelloTools } from './trello';
import { type Installation, WORKSPACE_TARGETS, Workspaces } from './workspaces';

/**
 * An agent on the queue of a `SlackIngress`. Three things are still to be done after the deployment: the bot token goes into
 * `botToken`, the credential of Trello, if there is one, into `trelloCredential`, and the credentials of an app whose tokens
 * expire into `appCredentials`.
 */
export class SlackAgent extends Construct {
  /** The dispatcher, which hands each question on the queue to the agent. */
  readonly dispatch: lambda.Function;
  /** agent-settle, through which the agent claims and answers a question. An agent that exists needs its ARN. */
  readonly settle: lambda.Function;
  /** token-rotation, which gets new bot tokens; absent if they do not expire. */
  readonly rotation?: lambda.Function;
  /** Where the bot token goes, as `{"token": "xoxb-…"}`. */
  readonly botToken: secretsmanager.ISecret;
  /** Where the bot tokens of further installations go, by the ids of these. */
  readonly moreBotTokens: Record<string, secretsmanager.ISecret>;
  /** Where the app's client id and client secret go, as JSON; absent if the tokens do not expire. */
  readonly appCredentials?: secretsmanager.ISecret;
  /** Where Trello's key and token go, as JSON; absent without its tools. */
  readonly trelloCredential?: secretsmanager.ISecret;
  /** The agent's tools; absent if the agent was deployed already. Add more with `gateway.addTool`. */
  readonly gateway?: AgentGateway;
  readonly runtimeArn: string;
  /** The endpoint of the runtime that is called. */
  readonly runtimeQualifier: string;
  /** The agent's runtime; absent if the agent was deployed already. */
  readonly runtime?: agentcore.Runtime;
  /** The agent's role; absent if the agent was deployed already. Any code in the agent's machine can use it. */
  readonly agentRole?: iam.Role;
  /** What the agent remembers of people; absent if it does not. */
  readonly memoryId?: string;
  /** The table with the audit trail; absent without one. */
  readonly auditTable?: dynamodb.ITable;
  /** The bucket with its exports; absent without any. */
  readonly auditExports?: s3.IBucket;
  readonly alarms: cloudwatch.Alarm[];
  readonly dashboard?: cloudwatch.Dashboard;
  /**
   * The installations after the first one.
   * @internal
   */
  readonly _moreInstallations: Installation[];

  constructor(scope: Construct, id: string, props: SlackAgentProps) {
    super(scope, id);
    const { queue, deadLetterQueue, guardTable, dmConversation } = props.ingress;
    const table = guardTable ?? props.ingress.table;
    if (!queue || !deadLetterQueue) {
      throw new Error('SlackAgent: the agent needs an ingress with a queue, and this one has a topic and no queue');
    }
    const { agent, ingress: _, dispatchCode, settleCode, rotationCode, alarmTopic, agentView = true, ...rest } = props;
    checkChoices(props);
    whole('SlackAgent: alarmTokensADay', props.alarmTokensADay, A_DAY);
    if (agentView && dmConversation !== 'thread') {
      throw new Error(
        "SlackAgent: in an app with agent_view each root message of a direct message starts a conversation, so the ingress needs dmConversation 'thread' (or set agentView to false)",
      );
    }
    const code = (binary: Binary, given: lambda.Code | undefined) =>
      given ?? packagedCode({ binary, architecture: props.architecture ?? lambda.Architecture.ARM_64 });
    const rotates = rest.rotatingTokens ?? rotationCode !== undefined;
    if (rotates && guardTable) {
      throw new Error(
        'SlackAgent: with two regions the bot tokens must not expire: a refresh token works once, and each region would use it up for the other',
      );
    }
    const { questionsADay, tokensADay, toolCallsADay } = rest.limits ?? {};
    if (guardTable && [questionsADay, tokensADay, toolCallsADay].some((it) => it !== undefined)) {
      throw new Error(
        'SlackAgent: with two regions there are no limits of a day: they are counted in transactions, which a strongly consistent global table does not support',
      );
    }
    const { approvals } = rest;
    if (!approvals && rest.approvalHours !== undefined) throw new Error('SlackAgent: approvalHours has no effect without approvals');
    if (approvals && guardTable) {
      throw new Error(
        'SlackAgent: with two regions there are no approvals: the schedule that ends the time to decide is in one region, and lost with it',
      );
    }
    if (approvals && rest.agentProtocol === 'plain') {
      throw new Error('SlackAgent: approvals has no effect with agentProtocol plain: such an agent calls its tools without agent-settle');
    }
    if (approvals && isExisting(agent) && !agent.toolsGateway) {
      throw new Error('SlackAgent: approvals needs agent.toolsGateway: without it agent-settle calls no tool of this agent');
    }
    const together = rest.turns === 'together';
    if (together && rest.agentProtocol === 'plain') {
      throw new Error('SlackAgent: turns together has no effect with agentProtocol plain: such an agent knows of one question');
    }
    if (together && guardTable) {
      throw new Error(
        'SlackAgent: with two regions turns must be each: several questions are answered in a transaction, which a strongly consistent global table does not support',
      );
    }
    const codes = [dispatchCode, settleCode, ...(rotates ? [rotationCode] : [])];
    if (codes.includes(undefined) && codes.some((it) => it !== undefined)) {
      throw new Error('SlackAgent: the code of all functions must be given, or of none: dispatchCode, settleCode, rotationCode if tokens expire');
    }
    const unansweredAfter = rest.unansweredAfter ?? Duration.minutes(15);
    const logRetention = rest.logRetention ?? logs.RetentionDays.ONE_MONTH;
    const removalPolicy = rest.removalPolicy ?? KEPT;

    // ── what agent-settle does in Slack ────────────────────────────────────────────────────────────────
    // What the ingress encrypts with a key of one's own, all of this encrypts with it too.
    const { encryptionKey } = props.ingress;
    const storage = { removalPolicy, encryptionKey };
    const botToken = rest.botToken ?? botTokenSecret(this, 'BotToken', storage);
    this.botToken = botToken;
    const credential = new ApiCredential(this, 'BotTokenCredential', { secret: botToken });
    const { audit: trail, ...withoutTrail } = rest;
    const audit = trail && new AgentAudit(this, 'Audit', { ...trail, removalPolicy, encryptionKey });
    [this.auditTable, this.auditExports] = [audit?.table, audit?.bucket];
    const shared = { ...withoutTrail, queue, table, logRetention, removalPolicy, encryptionKey };
    const settleGateway = new AgentGateway(this, 'SettleGateway', { description: 'what agent-settle does in Slack' });
    settleGateway._addTool(SLACK_TARGET, { document: SETTLE_DOCUMENT }, () => credential);
    const workspaces =
      rest.workspaces &&
      new Workspaces(this, 'Workspaces', { ...rest.workspaces, secret: botToken, credential, settleGateway, storage });
    this._moreInstallations = workspaces?.installations.slice(1) ?? [];
    this.moreBotTokens = Object.fromEntries(this._moreInstallations.map((it) => [it.tenant, it.secret]));
    const settle = (toolsGateway?: ToolsGateway, workspacesGateway?: AgentGateway) =>
      new AgentSettle(this, 'Settle', {
        ...shared,
        code: code('agent-settle', settleCode),
        audit,
        gateway: settleGateway,
        toolsGateway,
        workspaces,
        workspacesGateway,
        filesToken: rest.files ? botToken : undefined,
      });

    // ── the agent and its tools ────────────────────────────────────────────────────────────────────────
    let target: AgentTarget;
    let settles: AgentSettle;
    let own: AgentRuntime | undefined;
    if (isExisting(agent)) {
      settles = settle(agent.toolsGateway);
      const qualifier = agent.qualifier ?? 'DEFAULT';
      target = { runtimeArn: agent.runtimeArn, qualifier, endpointArn: `${agent.runtimeArn}/runtime-endpoint/${qualifier}` };
    } else {
      this.gateway = new AgentGateway(this, 'Gateway');
      // With several installations the agent's role must reach none of their tokens.
      const several = workspaces?.areSeveral ? workspaces : undefined;
      const reachable = several?.noToken() ?? credential;
      settles = settle({ url: this.gateway.url, arn: this.gateway.gateway.gatewayArn }, several?.toolsGateway());
      this.gateway._addTool(SLACK_TARGET, { document: SLACK_DOCUMENT }, () => reachable);
      this.gateway._addTool(CANVASES_TARGET, { document: CANVASES_DOCUMENT }, () => reachable);
      const { gateway } = this;
      // Tools may be added until the stack is synthesized.
      if (approvals) this.node.addValidation({ validate: () => problemsOfTools(approvals, gateway._tools) });
      const { trello, memory: remembers, ...more } = agent;
      if (trello) {
        this.trelloCredential = trello.secret ?? trelloSecret(this, 'TrelloCredential', storage);
        this.gateway.addTool(TRELLO_TARGET, trelloTools(this.trelloCredential));
      }
      const memory = remembers && new AgentMemory(this, 'People', { ...remembers, removalPolicy });
      this.memoryId = memory?.memoryId;
      own = new AgentRuntime(this, 'Runtime', {
        ...more,
        memory,
        gateway: this.gateway,
        settle: settles.function,
        workspaceTools: several && WORKSPACE_TARGETS,
        approvalTools: approvals && Object.keys(approvals),
        together,
        logRetention,
        removalPolicy,
        encryptionKey,
      });
      target = own;
      [this.runtime, this.agentRole] = [own.runtime, own.role];
    }
    this.settle = settles.function;
    [this.runtimeArn, this.runtimeQualifier] = [target.runtimeArn, target.qualifier];

    // ── the dispatcher, and tokens that expire ─────────────────────────────────────────────────────────
    this.dispatch = new AgentDispatch(this, 'Dispatch', {
      ...shared,
      code: code('agent-dispatch', dispatchCode),
      agent: target,
      settle: this.settle,
      deadLetterQueue,
      dmConversation,
    }).function;
    if (rotates) {
      const botTokens = [botToken, ...Object.values(this.moreBotTokens)];
      const rotation = new TokenRotation(this, 'TokenRotation', { ...shared, code: code('token-rotation', rotationCode), botTokens });
      [this.rotation, this.appCredentials] = [rotation.function, rotation.appCredentials];
    }

    // ── metrics, alarms and the dashboard ──────────────────────────────────────────────────────────────
    const metrics = new AgentMetrics(this.dispatch, this.settle, queue, deadLetterQueue);
    const rotation = this.rotation && new RotationMetrics(this.rotation);
    const { alarmTokensADay } = rest;
    this.alarms = new AgentAlarms(this, 'Alarms', {
      metrics,
      rotation,
      unansweredAfter,
      alarmTokensADay,
      approvalSchedules: settles.approvalSchedules,
      exportSchedules: audit?.exportSchedules,
      topic: alarmTopic,
    }).all;
    if (rest.dashboard ?? true) {
      this.dashboard = new AgentDashboard(this, 'Dashboard', {
        metrics,
        alarms: this.alarms,
        unansweredAfter,
        settleGateway: settleGateway.gateway,
        toolsGateway: this.gateway?.gateway,
        runtime: own,
      }).dashboard;
    }
  }
}

function isExisting(agent: OwnAgent | ExistingAgent): agent is ExistingAgent {
  return (agent as ExistingAgent).runtimeArn !== undefined;
}

function checkChoices({ agent, agentProtocol, agentEvents, alsoAnswers, turns, tracing }: SlackAgentProps): void {
  checkChoice('SlackAgent: agentProtocol', agentProtocol, ['work', 'plain']);
  checkChoice('SlackAgent: agentEvents', agentEvents, ['questions', 'all']);
  for (const it of alsoAnswers ?? []) checkChoice('SlackAgent: alsoAnswers (beside members)', it, ['guests', 'external', 'bots']);
  checkChoice('SlackAgent: turns', turns, ['each', 'together']);
  checkChoice('SlackAgent: tracing', tracing, ['active', 'off']);
  if (isExisting(agent)) return;
  checkChoice('SlackAgent: agent.tracing', agent.tracing, ['adot', 'off']);
  checkChoice('SlackAgent: agent.answer', agent.answer, ['post', 'stream']);
}
