// What no deployment may replace or remove unless it is told to: what holds data, and what Slack calls.

/** The types of resources that are guarded, with what is lost or left behind. */
const GUARDED: Record<string, string> = {
  'AWS::DynamoDB::Table': 'the records of events, and events that are parked; or the audit trail',
  'AWS::DynamoDB::GlobalTable': 'what consumers in two regions have done: they would do it again',
  'AWS::SQS::Queue': 'messages; a consumer of yours would go on reading the old queue',
  'AWS::S3::Bucket': 'the exports of the audit trail',
  'AWS::Scheduler::ScheduleGroup':
    'the ends of the time to decide of everybody who has been asked, and tools are called without asking; or the export of the audit trail',
  'AWS::SecretsManager::Secret': 'the secret that was put there',
  'AWS::BedrockAgentCore::Memory': 'what is remembered of people',
  'AWS::ApiGatewayV2::Api': 'the request URL that is in the Slack app',
  'AWS::ApiGatewayV2::DomainName': 'the host of the request URL that is in the Slack app',
  'AWS::Lambda::Url': 'the request URL that is in the Slack app',
};

/** One line of what `cdk diff --fail-on=destructive` found. */
export interface Change {
  readonly stack: string;
  readonly type: string;
  /** The path in the stack, such as `Ingress/Queue`; the logical id if the CDK knows no path. */
  readonly path: string;
  /** `will be replaced`, `may be replaced`, `will be destroyed`, `will be orphaned`. */
  readonly fate: string;
}

/**
 * Reads what `cdk diff --no-color --fail-on=destructive` wrote.
 *
 * @throws Error if it found changes and they cannot all be read: then nothing is known of what would be lost
 */
export function destructiveChanges(output: string): Change[] {
  const [, count] = /Found (\d+) destructive change\(s\)/.exec(output) ?? [];
  if (count === undefined) return [];
  const lines = [...output.matchAll(/^ {2}(\S+): (AWS::\S+|Custom::\S+) (?:(\S+) )?(\S+) ((?:will|may) be \w+)(?: \(moved .*\))?$/gm)];
  if (lines.length !== Number(count)) throw new Error(`cdk diff found ${count} destructive changes, and ${lines.length} could be read`);
  return lines.map(([, stack = '', type = '', path, id = '', fate = '']) => ({ stack, type, path: path ?? id, fate }));
}

/**
 * Returns why these changes must not be deployed, as text for a person, or nothing if they may be.
 *
 * @param replace the paths of what may be replaced or removed
 */
export function refusal(changes: readonly Change[], replace: readonly string[]): string | undefined {
  const refused = changes.filter((it) => it.type in GUARDED && !replace.includes(it.path));
  if (refused.length === 0) return undefined;
  const lines = refused.map((it) => `  ${it.stack}: ${it.path} (${it.type}) ${it.fate}: ${GUARDED[it.type]}`);
  const all = [...new Set([...replace, ...refused.map((it) => it.path)])].join(',');
  return [
    'Not deployed. This would replace or remove what holds data, or what Slack calls:',
    '',
    ...lines,
    '',
    'A setting that is left out goes back to its default, so look first whether one is missing: the changes are above.',
    `If it is what you want, read "Changing the queue" in docs/deploy.md, and then add REPLACE=${all} to \`make deploy\`,`,
    `or --replace=${all} to \`npm run deploy\`.`,
  ].join('\n');
}
