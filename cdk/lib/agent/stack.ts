// The CloudFormation stack of the consumer: the construct, and the outputs that people need.

import { CfnOutput, CrossStackReferences, ReferenceStrength, Stack, type StackProps } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { dashboardUrl } from '../common/console';
import type { SlackIngress } from '../ingress/slack-ingress';
import { SlackAgent } from './agent';
import { asksUserGroups } from './approvals';
import { whoMayAsk } from './dispatch';
import type { SlackAgentProps } from './props';
import { putAppCredentials } from './rotation';
import { putTrelloCredential } from './trello';

/** The properties of the consumer, without the ingress that the stack is given. */
export type AgentProps = Omit<SlackAgentProps, 'ingress'>;

export interface AgentStackProps extends StackProps {
  /** The ingress whose queue is consumed. The dispatcher also uses its dead-letter queue and its table. */
  readonly ingress: SlackIngress;
  /** Creates the consumer's props; called with the stack as the scope. See `agentProps` in `../settings/agent.ts`. */
  readonly agent: (scope: Construct) => AgentProps;
}

/** A stack with the consumer of an ingress's queue, and outputs that people need. */
export class AgentStack extends Stack {
  readonly agent: SlackAgent;

  constructor(scope: Construct, id: string, props: AgentStackProps) {
    super(scope, id, props);
    // With strong references, CloudFormation refuses to remove the queue or the table while this stack uses them.
    CrossStackReferences.of(this).consume(ReferenceStrength.STRONG);
    const given = props.agent(this);
    // A construct with this id leaves no trace in the logical ids of what is in it.
    const agent = new SlackAgent(this, 'Default', { ...given, ingress: props.ingress });
    this.agent = agent;
    const output = (id: string, description: string, value: string) => new CfnOutput(this, id, { description, value });

    if (agent.trelloCredential) {
      const { secretArn } = agent.trelloCredential;
      output('TrelloSecretArn', "Where Trello's API key and token go, in JSON", secretArn);
      if (!('trello' in given.agent && given.agent.trello?.secret)) {
        output(
          'PutTheTrelloCredential',
          "Still to be done, unless you have: until then Trello refuses every call of its tools. Paste the API key, press Enter, then paste the token, after this command",
          putTrelloCredential(secretArn, this.region),
        );
      }
    }
    if (agent.memoryId !== undefined) output('MemoryId', 'What the agent remembers of people', agent.memoryId);
    if (agent.gateway) {
      output('GatewayUrl', "The agent's tools, by MCP", agent.gateway.url);
      output('GatewayArn', 'The same, to grant its use', agent.gateway.gateway.gatewayArn);
    }

    // A token that is pasted has no refresh token with it.
    const [put, howToPut] = agent.rotation
      ? [
          installBotToken,
          'With SLACK_CLIENT_SECRET set and slack-dev built (make slack-dev), run this command with the client id of the app: docs/slack-app.md',
        ]
      : [putBotToken, 'Paste the token of that installation (xoxb-…) after this command'];
    output('BotTokenSecretArn', "Where the Slack app's bot token goes, in JSON", agent.botToken.secretArn);
    if (!given.botToken) {
      output(
        'PutTheBotToken',
        `Still to be done, unless you have: until the token is put, no question is answered. ${howToPut}`,
        put(agent.botToken.secretArn, this.region),
      );
    }
    for (const { tenant, secret, isCreated } of agent._moreInstallations) {
      output(`BotTokenSecretArn${tenant}`, `Where the bot token of the installation in ${tenant} goes, in JSON`, secret.secretArn);
      if (!isCreated) continue;
      output(
        `PutTheBotToken${tenant}`,
        `Still to be done, unless you have: until its token is put, no question from ${tenant} is answered. ${howToPut}`,
        put(secret.secretArn, this.region),
      );
    }
    if (agent.rotation && agent.appCredentials) {
      const { secretArn } = agent.appCredentials;
      output('AppCredentialsSecretArn', "Where the app's client id and client secret go, in JSON", secretArn);
      output(
        'PutTheAppCredentials',
        'Still to be done, unless you have: until then no token is renewed. Paste the client id, press Enter, then paste the client secret, after this command',
        putAppCredentials(secretArn, this.region),
      );
      output('RotationFunctionName', 'What gets new bot tokens; also the dimension of its metrics', agent.rotation.functionName);
    }
    if (agent.auditTable) output('AuditTableName', 'Who asked, what was done and what was answered', agent.auditTable.tableName);
    if (agent.auditExports) output('AuditExportsBucketName', 'The exports of it', agent.auditExports.bucketName);
    output('AgentView', 'Whether the Slack app is an agent; its manifest needs to know', String(given.agentView ?? true));
    output('SuggestsPrompts', 'Whether prompts are suggested; its manifest needs to know', String(given.suggestedPrompts !== undefined));
    output('RotatesTokens', 'Whether the bot tokens may expire; its manifest needs to know', String(agent.rotation !== undefined));
    output('ReadsFiles', 'Whether files of questions are read; its manifest needs to know', String(given.files ?? false));
    output('AsksUserGroups', 'Whether members of a user group decide; its manifest needs to know', String(asksUserGroups(given.approvals)));
    output('WhoMayAsk', 'Whose questions are answered', whoMayAsk(given.alsoAnswers));
    output('RuntimeArn', 'The agent', agent.runtimeArn);
    output('RuntimeQualifier', 'The endpoint of it that is called', agent.runtimeQualifier);
    output('DispatchFunctionName', 'The dispatcher; also the dimension of its metrics', agent.dispatch.functionName);
    output('SettleFunctionName', 'agent-settle; also the dimension of its metrics', agent.settle.functionName);
    output('SettleFunctionArn', 'The same, for an agent of your own', agent.settle.functionArn);
    if (agent.dashboard) {
      output(
        'AgentDashboardUrl',
        'The way from the queue to the answer',
        dashboardUrl(this, agent.dashboard.dashboardName),
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
