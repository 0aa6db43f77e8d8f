// agent-settle: the function that acts for whoever works on a question. It alone posts answers.

import { Duration } from 'aws-cdk-lib';
import type * as dynamodb from 'aws-cdk-lib/aws-dynamodb';
import type * as lambda from 'aws-cdk-lib/aws-lambda';
import type * as scheduler from 'aws-cdk-lib/aws-scheduler';
import type * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import type * as sqs from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import { AgentApprovals } from './approvals';
import type { AgentAudit } from './audit';
import { grantReadSecret } from './credential';
import { whoMayAsk } from './dispatch';
import { type AgentFunctionProps, agentFunction } from './function';
import { type AgentGateway, SLACK_TARGET } from './gateway';
import { limitsEnvironment } from './limits';
import type { SlackAgentProps, ToolsGateway } from './props';
import { WORKSPACE_TARGETS, type Workspaces } from './workspaces';

/** The function's time-out. It begins no post later than 15 s after its start, and ends its calls to Slack after 29 s. */
export const SETTLE_TIMEOUT = Duration.seconds(30);

export interface AgentSettleProps
  extends AgentFunctionProps,
    Pick<
      SlackAgentProps,
      | 'alsoAnswers'
      | 'turns'
      | 'limits'
      | 'approvals'
      | 'approvalHours'
      | 'suggestedPrompts'
      | 'sessionTitles'
      | 'feedbackButtons'
    > {
  /** The queue that the questions are on. The function renews a message's visibility, and deletes it at the end. */
  readonly queue: sqs.IQueue;
  /** The table of the work records: the ingress's, or that of two regions. */
  readonly table: dynamodb.ITable;
  /** Its own Gateway, whose target `slack` has the operations of `SETTLE_DOCUMENT`. Nobody else may call it. */
  readonly gateway: AgentGateway;
  /** The audit trail. @default there is none */
  readonly audit?: AgentAudit;
  /** The Gateway with the agent's tools, of which it calls those that change something. @default the agent has none */
  readonly toolsGateway?: ToolsGateway;
  /** The installations of the app. @default the app is installed once, and it does not matter where */
  readonly workspaces?: Workspaces;
  /** The Gateway with the tools of each installation. Needed if there are several, and tools. @default none */
  readonly workspacesGateway?: AgentGateway;
  /**
   * The secret with the bot token, if the function may read it, to download the files of questions. With `workspaces` it
   * gets the secret of each installation.
   * @default it reads no files, and has no token
   */
  readonly filesToken?: secretsmanager.ISecret;
}

/** The function `agent-settle`. The dispatcher and the agent invoke it. */
export class AgentSettle extends Construct {
  readonly function: lambda.Function;
  /** The group of the schedules by which the time to decide ends; absent if nobody is asked. */
  readonly approvalSchedules?: scheduler.IScheduleGroup;

  constructor(scope: Construct, id: string, props: AgentSettleProps) {
    super(scope, id);
    const { queue, table, gateway, toolsGateway, workspaces, workspacesGateway } = props;
    const { filesToken, approvals: asked, approvalHours, encryptionKey, audit } = props;
    const { suggestedPrompts, sessionTitles = false, feedbackButtons = false } = props;
    const count = suggestedPrompts?.prompts.length;
    if (count !== undefined && (count < 1 || count > 4)) throw new Error(`AgentSettle: Slack shows 1 to 4 prompts, not ${count}`);
    const approvals = asked && new AgentApprovals(this, 'Approvals', { approvals: asked, approvalHours, queue, encryptionKey });
    const own = agentFunction(this, props, {
      binary: 'agent-settle',
      name: 'agent-settle',
      description: 'slack-ingress: acts for whoever works on a question, and posts the answer',
      timeout: SETTLE_TIMEOUT,
      environment: {
        DEDUP_STORE: `dynamodb:${table.tableName}`,
        EVENT_QUEUE: queue.queueUrl,
        GATEWAY_URL: gateway.url,
        ...(workspaces ? { GATEWAY_TARGETS: workspaces.targets } : { GATEWAY_TARGET: SLACK_TARGET }),
        ...(toolsGateway ? { TOOLS_GATEWAY_URL: toolsGateway.url } : {}),
        ...(workspacesGateway
          ? { WORKSPACE_TOOLS_GATEWAY_URL: workspacesGateway.url, WORKSPACE_TOOLS: WORKSPACE_TARGETS.join(',') }
          : {}),
        ...(props.turns === 'together' ? { TURNS: 'together', WHO_MAY_ASK: whoMayAsk(props.alsoAnswers) } : {}),
        ...limitsEnvironment(props.limits),
        ...approvals?.environment,
        ...audit?.environment,
        ...(suggestedPrompts ? { SUGGESTED_PROMPTS: JSON.stringify(suggestedPrompts) } : {}),
        SESSION_TITLES: sessionTitles ? 'on' : 'off',
        FEEDBACK_BUTTONS: feedbackButtons ? 'on' : 'off',
        ...(filesToken ? { SLACK_BOT_TOKEN_ARN: workspaces?.secrets ?? filesToken.secretArn } : {}),
      },
    });
    own.grantRecords(table);
    audit?.grantAdd(own.grant);
    own.grant(['sqs:ChangeMessageVisibility', 'sqs:DeleteMessage'], [queue.queueArn]);
    const gateways = [gateway.gateway.gatewayArn, toolsGateway?.arn, workspacesGateway?.gateway.gatewayArn];
    own.grant(['bedrock-agentcore:InvokeGateway'], gateways.filter((it) => it !== undefined));
    const tokens = filesToken ? (workspaces?.installations.map((it) => it.secret) ?? [filesToken]) : [];
    for (const secret of tokens) {
      grantReadSecret(secret, (actions, resource, conditions) => own.grant(actions, [resource], conditions));
    }
    approvals?.grantSchedules(own.function.role!, own.grant);
    [this.function, this.approvalSchedules] = [own.function, approvals?.schedules];
  }
}
