// The alarms of what is behind the queue.

import { Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import type * as scheduler from 'aws-cdk-lib/aws-scheduler';
import type * as sns from 'aws-cdk-lib/aws-sns';
import { Construct } from 'constructs';
import { alarmFactory } from '../common/alarm';
import { type AgentMetrics, type RotationMetrics, schedulesFailed } from './metrics';
import { ROTATION_EVERY } from './rotation';
import { SETTLE_TIMEOUT } from './settle';

export interface AgentAlarmsProps {
  readonly metrics: AgentMetrics;
  /** The metrics of token-rotation. @default the tokens do not expire */
  readonly rotation?: RotationMetrics;
  /** How long after Slack's request a question may be without an answer. */
  readonly unansweredAfter: Duration;
  /** How many tokens all questions together may use within a day. @default as many as they like: there is no alarm */
  readonly alarmTokensADay?: number;
  /** The group of the schedules by which the time to decide ends. @default nobody is asked */
  readonly approvalSchedules?: scheduler.IScheduleGroup;
  /** The group of the schedule that exports the audit trail. @default nothing is exported */
  readonly exportSchedules?: scheduler.IScheduleGroup;
  /** The topic that alarms notify. @default none: an alarm only changes its state */
  readonly topic?: sns.ITopic;
}

/**
 * The alarms of what is behind the queue. docs/operate.md says what each alarm means and what to do about it. No alarm
 * needs traffic to be right: one question that fails is enough, and a metric that is missing is no fault, but for the one of
 * the tokens. The alarm on the
 * depth of the dead-letter queue belongs to the ingress.
 */
export class AgentAlarms extends Construct {
  readonly all: cloudwatch.Alarm[] = [];

  constructor(scope: Construct, id: string, props: AgentAlarmsProps) {
    super(scope, id);
    const { metrics, rotation, unansweredAfter, alarmTokensADay, approvalSchedules, exportSchedules, topic } = props;
    const { dispatch, settle } = metrics;
    const alarm = alarmFactory(this, this.all, topic);
    // ── what a person notices ──────────────────────────────────────────────────────────────────────────
    // One period of four: what is put off is seen once in a quarter of an hour, and the alarm must not end in between.
    alarm(
      'Unanswered',
      'a question has been without an answer for too long',
      metrics.oldestUnanswered(),
      unansweredAfter.toMilliseconds(),
      [1, 4],
    );
    // Minutes, so that a bot token that does not work is known within five minutes of the first question; twenty of them,
    // because what Slack refuses is tried again once in a quarter of an hour, and the alarm must not end in between.
    alarm(
      'AnswerFailures',
      'an answer could not be posted, or there is none: is the bot token there?',
      settle.count('AnswerFailures', Duration.minutes(1)),
      0,
      [1, 20],
    );
    alarm(
      'OutcomeUnknown',
      'nobody can find out whether an answer was posted: it is not posted again',
      settle.count('OutcomeUnknown'),
      0,
    );
    alarm('Untold', 'a question has no answer, and its asker could not be told', metrics.untold(), 0);
    // ── dead letters ───────────────────────────────────────────────────────────────────────────────────
    alarm('DeadLettered', 'the dispatcher gave a message up', dispatch.count('DeadLettered'), 0);
    alarm(
      'LettersWithoutReason',
      'SQS moved a message to the dead-letter queue by itself: its asker was told nothing',
      metrics.lettersWithoutReason(),
      0,
    );
    // ── the two functions ──────────────────────────────────────────────────────────────────────────────
    alarm('DispatchErrors', 'the dispatcher ended with an error or was killed', dispatch.lambdaCount('Errors'), 0);
    // Three periods, a quarter of an hour: by then an agent has started, and a short outage is over.
    alarm(
      'Deferred',
      'most messages are put off: the agent is throttled or busy, or the table is down',
      dispatch.deferredShare(),
      50,
      [3, 3],
    );
    alarm(
      'DispatcherStopped',
      'messages wait on the queue and nobody takes them',
      metrics.waitingForNobody(),
      0,
      [3, 3],
    );
    // Two periods of three: whoever asked asks again, so one failure of a service is no reason for an alarm.
    alarm('SettleErrors', 'agent-settle ends with errors, or is killed', settle.lambdaCount('Errors'), 0, [2, 3]);
    alarm('SettleThrottles', 'Lambda turned calls of agent-settle away', settle.lambdaCount('Throttles'), 0);
    alarm(
      'SettleSlow',
      'agent-settle runs for nearly as long as it may',
      settle.duration('Maximum'),
      SETTLE_TIMEOUT.toMilliseconds() - 5000,
      [2, 3],
    );
    // ── what EventBridge Scheduler does ────────────────────────────────────────────────────────────────
    // An hour: what fails is tried again after pauses that grow, and the alarm must not end in between.
    if (approvalSchedules) {
      alarm('ApprovalEndFails', 'the end of the time to decide does not get onto the queue', schedulesFailed(approvalSchedules), 0, [1, 12]);
    }
    // From one export to the next, which may come an hour later in its day.
    if (exportSchedules) {
      const failed = schedulesFailed(exportSchedules, Duration.hours(1));
      alarm('AuditExportFails', 'an export of the audit trail could not be begun', failed, 0, [1, 25]);
    }
    // ── the bill ───────────────────────────────────────────────────────────────────────────────────────
    if (alarmTokensADay !== undefined) {
      alarm(
        'TokensOfADay',
        'within a day, all questions together have used more tokens than was expected',
        settle.count('Tokens', Duration.days(1)),
        alarmTokensADay,
      );
    }
    if (!rotation) return;
    // ── tokens that expire ─────────────────────────────────────────────────────────────────────────────
    // The alarm lasts from one run to the next, until the app is installed again.
    alarm(
      'TokenLost',
      'a bot token cannot be renewed: install the app again before the token expires',
      rotation.count('TokensLost', ROTATION_EVERY),
      0,
      [1, 2],
    );
    // An hour. Of five periods, as a run that comes a second late leaves a period without one.
    alarm(
      'TokenRefreshFails',
      'for an hour a token could not be renewed, or could not be if it were due: are the credentials of the app there?',
      rotation.count('TokenRefreshFailures', ROTATION_EVERY),
      0,
      [4, 5],
    );
    // Missing data is a fault: the function sends the count with every run.
    alarm(
      'TokenExpires',
      'a bot token has less than two hours left, or nobody looks at the tokens',
      rotation.count('TokensExpiring', ROTATION_EVERY),
      0,
      [2, 3],
      cloudwatch.TreatMissingData.BREACHING,
    );
  }
}
