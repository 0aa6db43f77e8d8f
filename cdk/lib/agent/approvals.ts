// Tools of which a person is asked before they are called: what agent-settle is told of them, and the schedule by which the time
// to answer ends.

import { Duration, Names, RemovalPolicy, Stack, Token, Validations } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import type * as kms from 'aws-cdk-lib/aws-kms';
import * as scheduler from 'aws-cdk-lib/aws-scheduler';
import type * as sqs from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import { KEY_USE, throughService } from '../common/key';
import type { Bounds } from '../common/limits';
import { cdkNagSpelling } from './gateway';
import { whole } from './limits';
import { MAX_TOOL_NAME } from './openapi';
import type { SlackAgentProps } from './props';

/** How long a person may take to answer, in hours (src/config/settle.rs has it in seconds). */
export const APPROVAL_HOURS: Bounds = { least: 1, most: 168 };

/** A tool as `<target>___<operation>`, or its operation alone. */
const TOOL = /^(?:(?:[0-9a-zA-Z]-?){1,100}___)?[a-zA-Z0-9_-]+$/;
const USER = /^[UW][A-Z0-9]+$/;
const USER_GROUP = /^S[A-Z0-9]+$/;

/** How many people may be named for one tool: the message mentions each of them (src/config/approvals.rs). */
const MAX_PEOPLE = 20;

/** EventBridge Scheduler's limit on the length of a group's name. */
const MAX_GROUP_NAME = 64;

type Given = NonNullable<SlackAgentProps['approvals']>;

export interface AgentApprovalsProps {
  readonly approvals: Given;
  /** How many hours a person may take. @default 168 */
  readonly approvalHours?: number;
  /** The queue that the messages of the schedules go to. */
  readonly queue: sqs.IQueue;
  /** The key that the queue is encrypted with. @default a key of AWS's */
  readonly encryptionKey?: kms.IKey;
}

/** A group for the schedules of agent-settle, and the role by which EventBridge Scheduler puts their messages on the queue. */
export class AgentApprovals extends Construct {
  /** What agent-settle is told. */
  readonly environment: Record<string, string>;
  /** The group of the schedules by which the time to answer ends. */
  readonly schedules: scheduler.IScheduleGroup;
  private readonly scheduleArns: string;
  private readonly role: iam.Role;

  constructor(scope: Construct, id: string, props: AgentApprovalsProps) {
    super(scope, id);
    const { approvals, queue, encryptionKey } = props;
    checkApprovals(approvals);
    const { approvalHours = APPROVAL_HOURS.most } = props;
    whole('SlackAgent: approvalHours', approvalHours, APPROVAL_HOURS);
    const { partition, region, account } = Stack.of(this);
    // With the group all of its schedules are deleted. Without agent-settle nobody would know what their messages mean.
    const scheduleGroupName = Names.uniqueResourceName(this, { maxLength: MAX_GROUP_NAME, separator: '-' });
    const group = new scheduler.ScheduleGroup(this, 'Schedules', { scheduleGroupName, removalPolicy: RemovalPolicy.DESTROY });
    this.schedules = group;
    this.scheduleArns = `arn:${partition}:scheduler:${region}:${account}:schedule/${scheduleGroupName}/*`;
    this.role = new iam.Role(this, 'ScheduleRole', {
      description: 'slack-ingress: what the schedules of agent-settle may do, and nothing more',
      assumedBy: new iam.ServicePrincipal('scheduler.amazonaws.com', {
        // Of its schedules, those of this group alone: nobody else's can have the service act by this role.
        conditions: { StringEquals: { 'aws:SourceAccount': account, 'aws:SourceArn': group.scheduleGroupArn } },
      }),
    });
    this.role.addToPolicy(new iam.PolicyStatement({ actions: ['sqs:SendMessage'], resources: [queue.queueArn] }));
    if (encryptionKey) this.role.addToPolicy(throughService(this, 'sqs', KEY_USE.write, encryptionKey));
    this.environment = {
      APPROVALS: JSON.stringify(approvals),
      APPROVAL_SECONDS: String(Duration.hours(approvalHours).toSeconds()),
      SCHEDULE_GROUP: scheduleGroupName,
      SCHEDULE_ROLE: this.role.roleArn,
    };
  }

  /** Lets a role create schedules in the group, and none that act by another role than the one of this group. */
  grantSchedules(role: iam.IRole, grant: (actions: string[], resources: string[], conditions?: iam.Conditions) => void): void {
    grant(['scheduler:CreateSchedule'], [this.scheduleArns]);
    grant(['iam:PassRole'], [this.role.roleArn], { StringEquals: { 'iam:PassedToService': 'scheduler.amazonaws.com' } });
    Validations.of(role).acknowledge({
      id: `AwsSolutions-IAM5[Resource::${cdkNagSpelling(this.scheduleArns)}]`,
      reason: 'A schedule is called by the id of the approval that it ends; the group is of this stack alone.',
    });
  }
}

/** Whether the members of a user group decide somewhere: the Slack app then needs a scope to ask who they are. */
export function asksUserGroups(approvals: Given = {}): boolean {
  return Object.values(approvals).some((it) => typeof it === 'string' && USER_GROUP.test(it));
}

/** Returns what is wrong with the names in approvals, for an agent with these tools: with a name that is misspelt nobody would ever be asked. */
export function problemsOfTools(approvals: Given, tools: readonly string[]): string[] {
  return Object.keys(approvals).flatMap((name) => {
    if (!tools.some((it) => it === name || operationOf(it) === name)) {
      return [`approvals names ${name}, which is none of the agent's tools: ${tools.join(', ')}`];
    }
    return [];
  });
}

function operationOf(tool: string): string {
  // A target has no underscore, an operation may have several.
  return tool.includes('___') ? tool.slice(tool.indexOf('___') + 3) : tool;
}

/** @throws Error if agent-settle would not start with these approvals, or would ask nobody; the tool is in the message */
function checkApprovals(approvals: Given): void {
  const problem = (what: string) => new Error(`SlackAgent: ${what}`);
  if (Object.keys(approvals).length === 0) throw problem('approvals must name a tool: leave it out if nobody is to be asked');
  for (const [tool, who] of Object.entries(approvals)) {
    // Of a name with its target and the same without, it would not be clear which one counts.
    if (operationOf(tool) !== tool && operationOf(tool) in approvals) {
      throw problem(`approvals names ${tool} and ${operationOf(tool)}: give one of the two`);
    }
    if (!TOOL.test(tool) || tool.length > MAX_TOOL_NAME) {
      throw problem(`approvals must name tools, such as create_card or trello___create_card, and one is: ${tool}`);
    }
    const isRight = Array.isArray(who)
      ? who.length > 0 && who.length <= MAX_PEOPLE && who.every((it) => typeof it === 'string' && (Token.isUnresolved(it) || USER.test(it)))
      : typeof who === 'string' && (who === 'asker' || Token.isUnresolved(who) || USER_GROUP.test(who));
    if (!isRight) {
      const choices = '"asker", a list of 1 to 20 ids of users such as ["U0123ABC"], or the id of a user group such as "S0123ABC"';
      throw problem(`approvals.${tool} must be ${choices}, and is: ${JSON.stringify(who)}`);
    }
  }
}
