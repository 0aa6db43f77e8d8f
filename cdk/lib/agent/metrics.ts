// The names of the metrics that the functions behind the queue send, as CloudWatch metrics for alarms and graphs.

import { Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import type * as lambda from 'aws-cdk-lib/aws-lambda';
import type * as scheduler from 'aws-cdk-lib/aws-scheduler';
import type * as sqs from 'aws-cdk-lib/aws-sqs';

/** The counts that the dispatcher sends after each message. It sends no count that is zero. */
export type DispatchCountName =
  | 'Dispatched'
  | 'DispatchDuplicates'
  | 'DispatchDeferred'
  | 'DispatchFailures'
  | 'DeadLettered'
  | 'NoQuestion'
  | 'Withdrawn'
  | 'PanesOpened'
  | 'FeedbackGood'
  | 'FeedbackBad'
  | 'Untold'
  | 'ColdStarts';

/** The times that the dispatcher measures, in milliseconds. */
export type DispatchTimeName = 'InvokeTime' | 'QueueTime' | 'OldestUnanswered';

/** The counts that agent-settle sends after each invocation. It sends no count that is zero. */
export type SettleCountName =
  | 'Answered'
  | 'Told'
  | 'Untold'
  | 'Stopped'
  | 'TurnedAway'
  | 'OverLimit'
  | 'Tokens'
  | 'AnswerFailures'
  | 'OutcomeUnknown'
  | 'Attempts'
  | 'ColdStarts';

/** The times that agent-settle measures, in milliseconds. The first two begin with Slack's request. */
export type SettleTimeName = 'TimeToFirstSign' | 'TimeToAnswer' | 'OldestUnanswered';

/** The counts that token-rotation sends after each run, also those that are zero. */
export type RotationCountName = 'TokensRefreshed' | 'TokenRefreshFailures' | 'TokensLost' | 'TokensExpiring';

const PERIOD = Duration.minutes(5);

/** The metrics of one function: those that it sends, and those that Lambda sends about it. */
export class FunctionMetrics<Count extends string, Time extends string> {
  private static readonly NAMESPACE = 'SlackIngress';

  constructor(protected readonly fn: lambda.IFunction) {}

  /** The sum of one of the function's counts. */
  count(name: Count, period = PERIOD): cloudwatch.Metric {
    return this.own(name, 'Sum', period);
  }

  /** A statistic, such as `p99`, of one of the function's times. */
  time(name: Time, statistic: string): cloudwatch.Metric {
    return this.own(name, statistic, PERIOD);
  }

  /** The sum of one of the counts that Lambda sends about the function. */
  lambdaCount(name: 'Invocations' | 'Errors' | 'Throttles', period = PERIOD): cloudwatch.Metric {
    return this.fn.metric(name, { statistic: 'Sum', period });
  }

  /** How long the function ran, in milliseconds. */
  duration(statistic: string): cloudwatch.Metric {
    return this.fn.metricDuration({ statistic, period: PERIOD });
  }

  /** A statistic of one of the function's counts. */
  protected own(metricName: string, statistic: string, period: Duration): cloudwatch.Metric {
    return new cloudwatch.Metric({
      namespace: FunctionMetrics.NAMESPACE,
      metricName,
      dimensionsMap: { FunctionName: this.fn.functionName },
      statistic,
      period,
    });
  }
}

/** The metrics of agent-dispatch. */
export class DispatchMetrics extends FunctionMetrics<DispatchCountName, DispatchTimeName> {
  /**
   * The percentage of receives that were put off. It is 0 while there are fewer than ten of them: a single busy
   * conversation causes as many.
   */
  deferredShare(): cloudwatch.MathExpression {
    return new cloudwatch.MathExpression({
      label: 'messages put off (%)',
      expression:
        'IF(FILL(deferred, 0) >= 10, 100 * FILL(deferred, 0) / (FILL(deferred, 0) + FILL(dispatched, 0) + FILL(failures, 0)), 0)',
      usingMetrics: {
        deferred: this.count('DispatchDeferred'),
        dispatched: this.count('Dispatched'),
        failures: this.count('DispatchFailures'),
      },
      period: PERIOD,
    });
  }
}

/** The metrics of token-rotation. */
export class RotationMetrics extends FunctionMetrics<RotationCountName, never> {}

/** The metrics of agent-settle. */
export class SettleMetrics extends FunctionMetrics<SettleCountName, SettleTimeName> {
  /** A statistic of how often the questions that ended had been tried. */
  attempts(statistic: string): cloudwatch.Metric {
    return this.own('Attempts', statistic, PERIOD);
  }

  /**
   * The failures by reason. Alarms cannot watch a search: they watch `AnswerFailures` without the dimension, which counts
   * each failure too.
   */
  failuresByReason(): cloudwatch.MathExpression {
    return new cloudwatch.MathExpression({
      label: '',
      expression: `SEARCH('{SlackIngress,FunctionName,Reason} MetricName="AnswerFailures" FunctionName="${this.fn.functionName}"', 'Sum')`,
      usingMetrics: {},
      period: PERIOD,
    });
  }

  /** How often a limit of the day was reached, by the limit: `questions of a person`. There is no count of all limits. */
  limitsReached(): cloudwatch.MathExpression {
    return new cloudwatch.MathExpression({
      label: '',
      expression: `SEARCH('{SlackIngress,FunctionName,Limit} MetricName="LimitsReached" FunctionName="${this.fn.functionName}"', 'Sum')`,
      usingMetrics: {},
      period: PERIOD,
    });
  }
}

/** How often a target refused what the schedules of a group brought, or EventBridge Scheduler gave up bringing it. */
export function schedulesFailed(group: scheduler.IScheduleGroup, period = PERIOD): cloudwatch.MathExpression {
  return new cloudwatch.MathExpression({
    label: 'calls of schedules that failed',
    expression: 'FILL(refused, 0) + FILL(dropped, 0)',
    usingMetrics: { refused: group.metricTargetErrors({ period }), dropped: group.metricDropped({ period }) },
    period,
  });
}

/** The metrics of the whole way from the queue to the answer, over both functions and both queues. */
export class AgentMetrics {
  readonly dispatch: DispatchMetrics;
  readonly settle: SettleMetrics;

  constructor(
    dispatch: lambda.IFunction,
    settle: lambda.IFunction,
    private readonly queue: sqs.IQueue,
    private readonly deadLetterQueue: sqs.IQueue,
  ) {
    this.dispatch = new DispatchMetrics(dispatch);
    this.settle = new SettleMetrics(settle);
  }

  /**
   * The age of the oldest question without an answer, in milliseconds from Slack's request, as far as somebody saw it:
   * whoever works on a question says so with a beat, and the dispatcher when it puts one off. On a FIFO queue what waits
   * behind another question is younger than that one.
   */
  oldestUnanswered(): cloudwatch.MathExpression {
    return new cloudwatch.MathExpression({
      label: 'oldest question without an answer (ms)',
      expression: 'MAX([FILL(at_work, 0), FILL(put_off, 0)])',
      usingMetrics: {
        at_work: this.settle.time('OldestUnanswered', 'Maximum'),
        put_off: this.dispatch.time('OldestUnanswered', 'Maximum'),
      },
      period: PERIOD,
    });
  }

  /** The questions whose asker could not be told that there is no answer. */
  untold(): cloudwatch.MathExpression {
    return new cloudwatch.MathExpression({
      label: 'untold',
      expression: 'FILL(letters, 0) + FILL(ends, 0)',
      usingMetrics: { letters: this.dispatch.count('Untold'), ends: this.settle.count('Untold') },
      period: PERIOD,
    });
  }

  /**
   * The messages that wait although neither function runs. While an agent thinks, agent-settle runs every ten seconds,
   * so a message that waits behind that question does not count.
   */
  waitingForNobody(): cloudwatch.MathExpression {
    return new cloudwatch.MathExpression({
      label: 'messages that nobody takes',
      expression: 'IF(FILL(dispatches, 0) + FILL(settlements, 0) == 0, FILL(waiting, 0), 0)',
      usingMetrics: {
        dispatches: this.dispatch.lambdaCount('Invocations'),
        settlements: this.settle.lambdaCount('Invocations'),
        waiting: this.queue.metricApproximateNumberOfMessagesVisible({ statistic: 'Minimum', period: PERIOD }),
      },
      period: PERIOD,
    });
  }

  /**
   * The dead letters that the dispatcher did not write. SQS does not count a message that it moves there itself as sent
   * there, so these are more messages than were sent. In two metrics one letter may fall into two neighbouring periods:
   * what is too much in one must not be missing in the one before, whose value is `more - DIFF(more)`.
   */
  lettersWithoutReason(): cloudwatch.MathExpression {
    const letters = this.deadLetterQueue;
    const more = new cloudwatch.MathExpression({
      expression: 'DIFF(FILL(letters, 0)) - FILL(sent, 0)',
      usingMetrics: {
        letters: letters.metricApproximateNumberOfMessagesVisible({ statistic: 'Maximum', period: PERIOD }),
        sent: letters.metricNumberOfMessagesSent({ statistic: 'Sum', period: PERIOD }),
      },
      period: PERIOD,
    });
    return new cloudwatch.MathExpression({
      label: 'dead letters that SQS moved itself',
      expression: 'IF(more > 0 AND more + (more - DIFF(more)) > 0, more, 0)',
      usingMetrics: { more },
      period: PERIOD,
    });
  }
}
