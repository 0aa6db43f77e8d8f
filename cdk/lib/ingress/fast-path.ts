// The rules of what Slack is answered at once: how the function gets them, and what it may call for them.

import { copyFileSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ArnFormat, Stack } from 'aws-cdk-lib';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import type * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';

/** The properties of the rules. */
export interface FastPathProps {
  /**
   * The path of the file with the rules (docs/fast-path.md). `slack-dev fast-path check` says whether they are right; with wrong ones
   * the function does not start.
   */
  readonly rules: string;

  /**
   * The secret with the bot token, by which modals are opened: the token itself, `{"token": "xoxb-…"}`, or a JSON object from
   * tenant to token. A key of yours must be imported together with the secret, as for the signing secret.
   * @default none: no rule may have `open`
   */
  readonly botToken?: secretsmanager.ISecret;
}

/** The name of the file in the layer. Lambda unpacks layers into /opt. */
const FILE = 'fast-path.json';

/** The rules in a layer, so that a zip need not be changed for them and they are not limited to the 4 KB of all variables. */
export class FastPath extends Construct {
  readonly layer: lambda.LayerVersion;
  /** The functions' ARNs that the rules hand requests to. */
  readonly functions: string[];
  readonly environment: Record<string, string>;

  constructor(scope: Construct, id: string, { rules, botToken }: FastPathProps) {
    super(scope, id);
    const found = readRules(rules);
    if (found.some((rule) => rule.open !== undefined) && !botToken) {
      throw new Error(`FastPath: a rule in ${rules} opens a modal, and there is no botToken`);
    }
    const directory = mkdtempSync(join(tmpdir(), 'fast-path-'));
    copyFileSync(rules, join(directory, FILE));
    this.layer = new lambda.LayerVersion(this, 'Layer', {
      description: 'slack-ingress: what Slack is answered at once',
      code: lambda.Code.fromAsset(directory),
    });
    const names = found.flatMap((rule) => rule.function?.name ?? []);
    this.functions = [...new Set(names)].map((name) => functionArn(this, name));
    this.environment = { FAST_PATH: `/opt/${FILE}`, ...(botToken && { SLACK_BOT_TOKEN_ARN: botToken.secretArn }) };
  }
}

interface Rule {
  readonly open?: unknown;
  readonly function?: { readonly name?: string };
}

function readRules(path: string): Rule[] {
  let rules: unknown;
  try {
    rules = (JSON.parse(readFileSync(path, 'utf8')) as { rules?: unknown }).rules;
  } catch (error) {
    throw new Error(`FastPath: ${path} cannot be read as JSON: ${(error as Error).message}`);
  }
  if (!Array.isArray(rules)) throw new Error(`FastPath: ${path} has no list of rules (docs/fast-path.md)`);
  return rules as Rule[];
}

/** The ARN of a function of this account and region that is given by its name, with its version or alias if it has one. */
function functionArn(scope: Construct, name: string): string {
  if (name.startsWith('arn:')) return name;
  return Stack.of(scope).formatArn({
    service: 'lambda',
    resource: 'function',
    resourceName: name,
    arnFormat: ArnFormat.COLON_RESOURCE_NAME,
  });
}
