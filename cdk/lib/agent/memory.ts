// AgentCore Memory: what the agent remembers of a person from one conversation to the next.

import { Aws, Fn, Names, type RemovalPolicy } from 'aws-cdk-lib';
import * as agentcore from 'aws-cdk-lib/aws-bedrockagentcore';
import { Construct } from 'constructs';
import { type Bounds, outside } from '../common/limits';
import type { RememberedPeople } from './props';

/**
 * Above the records of one person. It ends with a slash, so that it is not above those of another person whose id begins
 * with this one's. agent/slack_agent/thinking/memory.py looks there.
 */
const PERSON = '/people/{actorId}/';

/** AgentCore lets no record end earlier, and keeps no event longer. */
export const MEMORY_DAYS: Bounds = { least: 31, most: 3650 };

export interface AgentMemoryProps extends RememberedPeople {
  /** What happens to it when it is removed from the stack. */
  readonly removalPolicy: RemovalPolicy;
}

/** A memory with facts about each person, and what each prefers. */
export class AgentMemory extends Construct {
  readonly memoryId: string;
  readonly memoryArn: string;

  constructor(scope: Construct, id: string, props: AgentMemoryProps) {
    super(scope, id);
    const days = props.days ?? 90;
    const problem = Number.isInteger(days) ? outside(days, MEMORY_DAYS) : `must be a whole number, and is: ${days}`;
    if (problem !== undefined) throw new Error(`AgentMemory: days ${problem}`);
    const strategy = (name: string, description: string) => ({
      name,
      description,
      namespaceTemplates: [`${PERSON}${name}/`],
      // Without it a record stays when the event that it was made of is long gone.
      recordExpirySpecification: { recordExpiryDurationDays: days },
    });
    // The construct of a higher level cannot have records end, and makes a role that built-in strategies do not need.
    const memory = new agentcore.CfnMemory(this, 'Memory', {
      name: this.name(),
      description: 'slack-ingress: what the agent remembers of people',
      eventExpiryDuration: days,
      memoryStrategies: [
        { semanticMemoryStrategy: strategy('facts', 'facts that a person has mentioned') },
        { userPreferenceMemoryStrategy: strategy('preferences', 'what a person prefers') },
      ],
    });
    memory.applyRemovalPolicy(props.removalPolicy);
    this.memoryId = memory.attrMemoryId;
    this.memoryArn = memory.attrMemoryArn;
  }

  /**
   * A name that no other stack gives, not even a later one of the same name: a memory that was kept has its name still. Eight
   * characters of the stack's id are behind it, `arn:…:stack/NAME/51af3dc0-…`.
   */
  private name(): string {
    const stack = Fn.select(0, Fn.split('-', Fn.select(2, Fn.split('/', Aws.STACK_ID))));
    return `${Names.uniqueResourceName(this, { maxLength: 48 - '_51af3dc0'.length })}_${stack}`;
  }
}
