// How the agent finds its answers: what `thinking` may say, and what it is if nothing is said.

import { Stack, Token } from 'aws-cdk-lib';
import { RegionInfo } from 'aws-cdk-lib/region-info';
import type { Construct } from 'constructs';

/**
 * The model that Strands itself takes for Bedrock: `DEFAULT_BEDROCK_MODEL_ID` in `strands.models.bedrock`, in the version that
 * agent/requirements.txt pins (tests/docs/test_thinking.py compares them). It is a global inference profile: any commercial region
 * of AWS's may answer.
 */
const DEFAULT_MODEL = 'global.anthropic.claude-sonnet-4-6';

/** The one partition in which there are global inference profiles. */
const WITH_GLOBAL_PROFILES = 'aws';

export interface Thinking {
  /** What the agent is told. */
  readonly text: string;
  /** @default it asks no model */
  readonly framework?: 'bedrock' | 'strands';
  readonly model?: string;
}

/**
 * Returns how an agent in the stack of `scope` finds its answers.
 *
 * @throws Error if `given` is none of the ways, or if it is none at all and the default's model is not there
 */
export function thinkingOf(scope: Construct, given: string | undefined): Thinking {
  if (given === undefined) checkDefaultModel(scope);
  const text = given ?? `strands:${DEFAULT_MODEL}`;
  const [, framework, model] = /^(bedrock|strands):([\w.:-]+)$/.exec(text) ?? [];
  if (text !== 'echo' && model === undefined) {
    throw new Error(`AgentRuntime: thinking must be "echo" or a model id after "bedrock:" or "strands:", and is: ${text}`);
  }
  return { text, framework: framework as Thinking['framework'], model };
}

/**
 * Refuses a region in which the default's model cannot be, as far as its partition tells: that of the stack, or of a stack for any
 * region `deployedIn`. What is not known passes, and so does a region that the CDK does not know.
 */
export function checkDefaultModel(scope: Construct, deployedIn?: string): void {
  const { region: ofStack } = Stack.of(scope);
  const region = Token.isUnresolved(ofStack) ? deployedIn : ofStack;
  const partition = region === undefined ? undefined : RegionInfo.get(region).partition;
  if (partition === undefined || partition === WITH_GLOBAL_PROFILES) return;
  throw new Error(
    `AgentRuntime: ${DEFAULT_MODEL}, which the agent asks if nothing else is said, is not in ${region} (${partition}): ` +
      'name a model that is there (-c thinking=strands:<model id>), or none (-c thinking=echo)',
  );
}
