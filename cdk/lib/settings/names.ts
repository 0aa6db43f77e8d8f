// The names of all settings (`cdk -c name=value`).

import type { Construct } from 'constructs';

/**
 * The settings that have no effect without an agent, and are then refused. The paths of the code are not among them:
 * they may always be given, because they only say what has been built.
 */
export const NEED_AN_AGENT = [
  'agentView',
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
  'botTokenSecretArn',
  'workspace',
  'moreWorkspaces',
  'rotatingTokens',
  'files',
  'agentRuntimeArn',
  'agentRuntimeQualifier',
  'agentToolsGatewayArn',
  'agentToolsGatewayUrl',
  'agentProtocol',
  'agentEvents',
  'alsoAnswers',
  'turns',
  'agentTimeoutSeconds',
  'maxAttempts',
  'giveUpAfterMinutes',
  'postWaitSeconds',
  'unansweredAfterMinutes',
  'dispatchConcurrency',
  'dispatchTimeoutSeconds',
  'dispatchBatchSize',
  'questionsADay',
  'tokensADay',
  'toolCallsADay',
  'tokensAQuestion',
  'approvals',
  'approvalHours',
  'alarmTokensADay',
  'audit',
  'auditDays',
  'auditRedact',
  'auditTexts',
  'auditExportDays',
  'suggestedPrompts',
  'sessionTitles',
  'feedbackButtons',
] as const;

/** The names that `cdk -c name=value` may set. docs/deploy.md explains each of them. */
export const SETTINGS = [
  'stackName',
  'codePath',
  'redriveCodePath',
  'architecture',
  'memorySize',
  'reservedConcurrency',
  'frontDoor',
  'throttleRate',
  'throttleBurst',
  'domainName',
  'hostedZoneId',
  'standbyRegion',
  'activeRegion',
  'topicArn',
  'topicKeyArn',
  'queueType',
  'visibilityMinutes',
  'retentionMinutes',
  'maxMessageAgeMinutes',
  'encryptionKeyArn',
  'signingSecretArn',
  'secretsKeyArn',
  'dedupTtlSeconds',
  'dedupKey',
  'botEvents',
  'dmConversation',
  'controlEvents',
  'warmWriteUnits',
  'ackBudgetMs',
  'gradualDeployment',
  'fastPath',
  'fastPathTokenSecretArn',
  'alarmTopicArn',
  'canary',
  'dashboard',
  'tracing',
  'logLevel',
  'logRetentionDays',
  'removalPolicy',
  'maxReceiveCount',
  'agent',
  'dispatchCodePath',
  'settleCodePath',
  'agentCodePath',
  'rotationCodePath',
  ...NEED_AN_AGENT,
] as const;

export type Setting = (typeof SETTINGS)[number];

/** Names of the CDK's own without a prefix. All others have a character in them that no setting has. */
const CDK_NAMES = ['acknowledged-issue-numbers', 'cli-telemetry'];
const OF_OTHERS = /[@:/]/;

/**
 * Checks that every name in the context is a setting, or the CDK's own: `aws:cdk:…`, `@aws-cdk/…`, what it has looked up.
 *
 * @throws Error that names the unknown ones, with the setting that each is nearest to
 */
export function checkNames(scope: Construct): void {
  const names = Object.keys((scope.node.getAllContext() ?? {}) as object);
  const known: readonly string[] = SETTINGS;
  const unknown = names.filter((name) => !known.includes(name) && !CDK_NAMES.includes(name) && !OF_OTHERS.test(name));
  if (unknown.length === 0) return;
  const lines = unknown.map((name) => {
    const meant = nearest(name, SETTINGS);
    return `${name} is no setting${meant === undefined ? '' : `: do you mean ${meant}?`}`;
  });
  throw new Error(`${lines.join('; ')} (docs/deploy.md has them all)`);
}

/** Returns the word that a name was most probably meant to be, or nothing if none is near. Case, - and _ do not count. */
export function nearest(name: string, words: readonly string[]): string | undefined {
  const plain = (text: string) => text.toLowerCase().replace(/[-_]/g, '');
  const wanted = plain(name);
  const rated = words.map((word) => {
    const its = plain(word);
    // `visibility` and `visibilitySeconds` are both meant for visibilityMinutes, whatever their length.
    const common = commonStart(wanted, its);
    return { word, distance: distance(wanted, its), near: distance(wanted, its) <= Math.max(2, Math.floor(its.length / 4)) || common >= 8 };
  });
  return rated.filter((it) => it.near).sort((a, b) => a.distance - b.distance)[0]?.word;
}

function commonStart(a: string, b: string): number {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length++;
  return length;
}

/** How many letters must be added, left out, changed or swapped with their neighbour to make one word of the other. */
function distance(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, column) => column)];
  for (let i = 1; i <= a.length; i++) {
    const [row, above, twoAbove] = [[i], rows[i - 1]!, rows[i - 2]];
    for (let j = 1; j <= b.length; j++) {
      const changed = above[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      const isSwapped = twoAbove && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      row[j] = Math.min(changed, above[j]! + 1, row[j - 1]! + 1, isSwapped ? twoAbove[j - 2]! + 1 : Infinity);
    }
    rows.push(row);
  }
  return rows[a.length]![b.length]!;
}
