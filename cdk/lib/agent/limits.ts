// How much people may use within a day, as agent-settle is told: its environment variables. src/config/settle.rs reads them, and
// refuses to start with what is refused here.

import { Token, Tokenization } from 'aws-cdk-lib';
import { type Bounds, checkChoice, outside } from '../common/limits';
import type { ADay, AgentLimits } from './props';

/** Whom a limit may be for (src/slack/scope.rs). */
export const SCOPES = ['person', 'channel', 'workspace'] as const;

/** What a limit of a day may be (src/config/settle.rs). */
export const A_DAY: Bounds = { least: 1, most: 1_000_000_000_000 };

/** How many tokens one attempt at a question may use (src/config/settle.rs). A second attempt may use as many again. */
export const TOKENS_A_QUESTION: Bounds = { least: 1000, most: 10_000_000 };

/** How many one attempt may use if the tokens of a day are limited and nothing else is said. */
export const USUAL_TOKENS_A_QUESTION = 200_000;

/**
 * Returns the variables that tell agent-settle of the limits.
 *
 * @throws Error if agent-settle would not start with them; the prop is in the message
 */
export function limitsEnvironment(limits: AgentLimits = {}): Record<string, string> {
  const { questionsADay, tokensADay, toolCallsADay, tokensAQuestion } = limits;
  const all = {
    QUESTIONS_A_DAY: aDay('AgentSettle: limits.questionsADay', questionsADay),
    TOKENS_A_DAY: aDay('AgentSettle: limits.tokensADay', tokensADay),
    TOOL_CALLS_A_DAY: aDay('AgentSettle: limits.toolCallsADay', toolCallsADay),
    TOKENS_A_QUESTION: whole('AgentSettle: limits.tokensAQuestion', tokensAQuestion, TOKENS_A_QUESTION),
  };
  checkAQuestion(limits);
  return Object.fromEntries(Object.entries(all).filter((it): it is [string, string] => it[1] !== undefined));
}

/**
 * A number that must be whole.
 *
 * @throws Error if it is given and not whole, or outside; its name is in the message
 */
export function whole(name: string, value: number | undefined, bounds: Bounds): string | undefined {
  if (value === undefined) return undefined;
  const problem = Number.isInteger(value) ? outside(value, bounds) : `must be a whole number, and is: ${value}`;
  if (problem !== undefined) throw new Error(`${name} ${problem}`);
  return Tokenization.stringifyNumber(value);
}

/** Returns the limits of one unit as agent-settle reads them, `person:20,channel:100`. */
function aDay(name: string, value: ADay | undefined): string | undefined {
  if (value === undefined) return undefined;
  for (const it of Object.keys(value)) checkChoice(`${name}, whom it is for,`, it, SCOPES);
  const limits = SCOPES.flatMap((scope) => {
    const limit = whole(`${name}.${scope}`, value[scope], A_DAY);
    return limit === undefined ? [] : [`${scope}:${limit}`];
  });
  if (limits.length === 0) throw new Error(`${name} must have a limit for one of ${SCOPES.join(', ')}`);
  return limits.join(',');
}

/** An attempt at a question reserves as many tokens as it may use before it begins, so with fewer in a day none would begin. */
function checkAQuestion({ tokensADay = {}, tokensAQuestion = USUAL_TOKENS_A_QUESTION }: AgentLimits): void {
  if (Token.isUnresolved(tokensAQuestion)) return;
  for (const scope of SCOPES) {
    const limit = tokensADay[scope];
    if (limit === undefined || Token.isUnresolved(limit) || limit >= tokensAQuestion) continue;
    throw new Error(
      `AgentSettle: limits.tokensADay.${scope} must be at least what one attempt at a question may use, ${tokensAQuestion} ` +
        `(limits.tokensAQuestion), or there would be no answer at all, and is: ${limit}`,
    );
  }
}
