// From the settings to the props of the agent.

import { readFileSync } from 'node:fs';
import { Stack } from 'aws-cdk-lib';
import { AgentRuntimeArtifact } from 'aws-cdk-lib/aws-bedrockagentcore';
import { Repository } from 'aws-cdk-lib/aws-ecr';
import type { Construct } from 'constructs';
import { A_DAY, SCOPES } from '../agent/limits';
import type { ADay, SuggestedPrompts } from '../agent/props';
import type { AgentProps } from '../agent/stack';
import { checkDefaultModel } from '../agent/thinking';
import { TRELLO_DOCUMENT, TRELLO_TARGET } from '../agent/trello';
import { outside } from '../common/limits';
import { AGENT_CODE, functionCode } from './code';
import { SECRET_ARN, agentCall, checkPaths, secretOf, settingsOf, wantsAgentView, wantsRotation } from './context';
import type { Setting } from './names';

/**
 * Returns the props of the agent that the settings describe. Call it only if `wantsAgent` is true.
 *
 * @throws Error if a setting's value is not allowed; the message says which values are
 */
export function agentProps(scope: Construct): AgentProps {
  const { text, number, list, formed, isOn, minutes, seconds, choice, topic, secret, ...other } = settingsOf(scope);
  const architecture = other.architecture();
  checkPaths(scope, true);
  const runtimeArn = formed('agentRuntimeArn');
  const useless = (names: Setting[]) => names.find((name) => text(name) !== undefined);
  if (runtimeArn) {
    const given = useless(OF_OWN_AGENT);
    if (given) throw new Error(`${given} and agentRuntimeArn cannot both be set: the agent is deployed already`);
  } else {
    const given = useless(['agentRuntimeQualifier', 'agentToolsGatewayArn', 'agentToolsGatewayUrl']);
    if (given) throw new Error(`${given} has no effect without agentRuntimeArn`);
  }
  // A stack for any region is deployed in the one that the CDK's command line names.
  if (!runtimeArn && text('thinking') === undefined) checkDefaultModel(scope, process.env.CDK_DEFAULT_REGION);
  const remembers = choice('memory', 'user', 'off') === 'user';
  if (list('alsoAnswers')?.includes('bots') && (text('botEvents') ?? 'drop') === 'drop')
    throw new Error('alsoAnswers=bots has no effect while the ingress drops what bots write: set botEvents=own');
  if (!remembers && text('memoryDays') !== undefined) throw new Error('memoryDays has no effect without a memory: set memory=user');
  const isAudited = isOn('audit');
  const ofAudit = useless(['auditDays', 'auditRedact', 'auditTexts', 'auditExportDays']);
  if (!isAudited && ofAudit) throw new Error(`${ofAudit} has no effect without an audit trail: set audit=true`);
  const withTrello = choice('trello', 'true', 'false') === 'true';
  if (!withTrello && text('trelloSecretArn') !== undefined) {
    throw new Error('trelloSecretArn has no effect without the tools for Trello: set trello=true');
  }
  // Each question would be answered with an apology: the agent does not think without a tool that it was promised.
  const ofTrello = withTrello ? undefined : list('tools')?.find(isTrellos);
  if (ofTrello !== undefined) throw new Error(`tools names ${ofTrello}, which is one of Trello's: set trello=true`);
  const image = text('agentImageUri');
  if (image !== undefined && text('agentTracing') === 'adot') {
    throw new Error('agentTracing and agentImageUri cannot both be set: an image starts as it says itself');
  }
  const [toolsArn, toolsUrl] = [formed('agentToolsGatewayArn'), formed('agentToolsGatewayUrl')];
  if ((toolsArn === undefined) !== (toolsUrl === undefined)) {
    throw new Error('agentToolsGatewayArn and agentToolsGatewayUrl must be given together');
  }
  const [workspace, moreWorkspaces] = [text('workspace'), list('moreWorkspaces')];
  if (moreWorkspaces && workspace === undefined) {
    throw new Error('moreWorkspaces needs workspace: the id of the workspace that the bot token in BotTokenSecretArn belongs to');
  }
  return {
    architecture,
    dispatchCode: functionCode({ binary: 'agent-dispatch', path: text('dispatchCodePath'), architecture }),
    settleCode: functionCode({ binary: 'agent-settle', path: text('settleCodePath'), architecture }),
    agent: runtimeArn
      ? {
          runtimeArn,
          qualifier: text('agentRuntimeQualifier'),
          toolsGateway: toolsArn === undefined ? undefined : { arn: toolsArn, url: toolsUrl! },
        }
      : {
          // A path may be given with an image too: it only says what has been built.
          code: image === undefined ? (text('agentCodePath') ?? AGENT_CODE) : undefined,
          artifact: image === undefined ? undefined : imageArtifact(scope, image),
          environment: environment(text('agentEnvironment')),
          thinking: text('thinking'),
          tools: text('tools'),
          trello: withTrello ? { secret: secret('ImportedTrelloCredential', 'trelloSecretArn') } : undefined,
          tracing: choice('agentTracing', 'adot', 'off'),
          answer: choice('answer', 'post', 'stream'),
          memory: remembers ? { days: number('memoryDays') } : undefined,
        },
    botToken: secret('ImportedBotToken', 'botTokenSecretArn'),
    workspaces:
      workspace === undefined
        ? undefined
        : {
            first: workspace,
            more: moreWorkspaces?.map((it) => {
              const [tenant = '', arn] = split(it, '=');
              if (arn === undefined) return tenant;
              if (!SECRET_ARN.test(arn)) throw new Error(`moreWorkspaces: the whole ARN of a secret must follow ${tenant}=`);
              return { tenant, secret: secretOf(scope, `ImportedBotToken${tenant}`, arn) };
            }),
          },
    rotatingTokens: wantsRotation(scope),
    rotationCode: wantsRotation(scope)
      ? functionCode({ binary: 'token-rotation', path: text('rotationCodePath'), architecture })
      : undefined,
    files: isOn('files'),
    agentView: wantsAgentView(scope),
    ...agentCall(scope),
    agentEvents: choice('agentEvents', 'questions', 'all'),
    alsoAnswers: list('alsoAnswers'),
    turns: choice('turns', 'each', 'together'),
    maxAttempts: number('maxAttempts'),
    giveUpAfter: minutes('giveUpAfterMinutes'),
    postWait: seconds('postWaitSeconds'),
    unansweredAfter: minutes('unansweredAfterMinutes'),
    maxConcurrency: number('dispatchConcurrency'),
    limits: {
      questionsADay: aDay('questionsADay', list('questionsADay')),
      tokensADay: aDay('tokensADay', list('tokensADay')),
      toolCallsADay: aDay('toolCallsADay', list('toolCallsADay')),
      tokensAQuestion: number('tokensAQuestion'),
    },
    approvals: approvals(text('approvals')),
    approvalHours: number('approvalHours'),
    alarmTokensADay: number('alarmTokensADay'),
    audit: isAudited
      ? {
          days: number('auditDays'),
          redact: list('auditRedact'),
          texts: isOn('auditTexts', true),
          exportDays: number('auditExportDays'),
        }
      : undefined,
    suggestedPrompts: suggestedPrompts(text('suggestedPrompts')),
    sessionTitles: isOn('sessionTitles'),
    feedbackButtons: isOn('feedbackButtons'),
    batchSize: number('dispatchBatchSize'),
    alarmTopic: topic('ImportedAlarmTopic', 'alarmTopicArn'),
    dashboard: isOn('dashboard', true),
    logLevel: other.logLevel(),
    logRetention: other.logRetention(),
    tracing: choice('tracing', 'active', 'off'),
    removalPolicy: other.removalPolicy(),
  };
}

/** What says something of an agent that the stack deploys, and nothing of one that exists. */
const OF_OWN_AGENT: Setting[] = [
  'agentImageUri',
  'agentEnvironment',
  'thinking',
  'tools',
  'trello',
  'trelloSecretArn',
  'agentTracing',
  'answer',
  'memory',
  'memoryDays',
];

/** Returns an image in ECR as the agent. The runtime's role gets the right to pull it. */
function imageArtifact(scope: Construct, uri: string): AgentRuntimeArtifact {
  const [, account, region, name, tag] =
    /^(\d{12})\.dkr\.ecr\.([\w-]+)\.amazonaws\.com(?:\.cn)?\/([a-z0-9._/-]+):([\w.-]+)$/.exec(uri) ?? [];
  if (name === undefined || tag === undefined) {
    throw new Error(`agentImageUri must be an image in ECR, ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME:TAG, and is: ${uri}`);
  }
  const repositoryArn = `arn:${Stack.of(scope).partition}:ecr:${region}:${account}:repository/${name}`;
  const repository = Repository.fromRepositoryAttributes(scope, 'AgentImage', { repositoryArn, repositoryName: name });
  return AgentRuntimeArtifact.fromEcrRepository(repository, tag);
}

/** Returns the agent's further variables in a setting's JSON, `{"NAME": "value"}`. */
function environment(json: string | undefined): Record<string, string> | undefined {
  if (json === undefined) return undefined;
  const problem = new Error('agentEnvironment must be JSON such as {"ECHO_SECONDS": "3"}, with texts alone');
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw problem;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw problem;
  const isRight = ([name, it]: [string, unknown]) => /^[A-Za-z]\w*$/.test(name) && typeof it === 'string';
  if (!Object.entries(value).every(isRight)) throw problem;
  return value as Record<string, string>;
}

/** Returns the text before the first separator and, if there is one, the text behind it. */
function split(text: string, separator: string): [string, string?] {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

/** Returns the limits in a setting, `person:20,channel:100`. agent-settle reads the same, and would refuse to start. */
function aDay(name: Setting, limits: string[] | undefined): ADay | undefined {
  if (limits === undefined) return undefined;
  const found: Partial<Record<keyof ADay, number>> = {};
  for (const it of limits) {
    const [, word, digits] = /^(\w+)\s*:\s*(\d+)$/.exec(it) ?? [];
    const scope = SCOPES.find((scope) => scope === word);
    if (scope === undefined || outside(Number(digits), A_DAY) !== undefined) {
      const form = `person:20, channel:100 or workspace:1000, with a number from ${A_DAY.least} to ${A_DAY.most}`;
      throw new Error(`${name} must be ${form}, or several of these with commas between, and one is: ${it}`);
    }
    if (found[scope] !== undefined) throw new Error(`${name}: ${scope} is there twice`);
    found[scope] = Number(digits);
  }
  return found;
}

/** Returns the approvals in a setting's JSON. What stands in the object is checked by the construct. */
function approvals(json: string | undefined): Record<string, string | string[]> | undefined {
  if (json === undefined) return undefined;
  const problem = new Error('approvals must be JSON such as {"create_card": "asker"}: an object from a tool to who decides');
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw problem;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw problem;
  return value as Record<string, string | string[]>;
}

/** Whether a tool is one of Trello's, by its operation or with its target. */
function isTrellos(tool: string): boolean {
  const { paths } = JSON.parse(readFileSync(TRELLO_DOCUMENT, 'utf8')) as { paths: Record<string, Record<string, { operationId?: string }>> };
  const operations = Object.values(paths).flatMap((methods) => Object.values(methods).map((it) => it.operationId));
  return operations.some((it) => it !== undefined && [it, `${TRELLO_TARGET}___${it}`].includes(tool));
}

/**
 * Returns the prompts in a setting's JSON, `{"title": …, "prompts": [{"title": …, "message": …}]}`. agent-settle reads the
 * same and would refuse to start; a mistake is better seen here.
 */
function suggestedPrompts(json: string | undefined): SuggestedPrompts | undefined {
  if (json === undefined) return undefined;
  const problem = new Error(
    'suggestedPrompts must be JSON such as {"title": "…", "prompts": [{"title": "…", "message": "…"}]}, with 1 to 4 prompts and no other field',
  );
  let value: any;
  try {
    value = JSON.parse(json);
  } catch {
    throw problem;
  }
  const isText = (it: unknown) => typeof it === 'string' && it.trim() !== '';
  const hasOnly = (it: unknown, ...names: string[]) =>
    typeof it === 'object' && it !== null && Object.keys(it).every((name) => names.includes(name));
  const isPrompt = (it: any) => hasOnly(it, 'title', 'message') && isText(it.title) && isText(it.message);
  const { title, prompts } = value ?? {};
  const isRight =
    hasOnly(value, 'title', 'prompts') &&
    (title === undefined || isText(title)) &&
    Array.isArray(prompts) &&
    prompts.length >= 1 &&
    prompts.length <= 4 &&
    prompts.every(isPrompt);
  if (!isRight) throw problem;
  return value;
}
