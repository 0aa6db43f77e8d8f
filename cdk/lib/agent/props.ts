// What can be said of an agent and of what is around it: the properties of `SlackAgent`. The constructs behind it take theirs
// from here.

import type { Duration, RemovalPolicy } from 'aws-cdk-lib';
import type * as agentcore from 'aws-cdk-lib/aws-bedrockagentcore';
import type * as lambda from 'aws-cdk-lib/aws-lambda';
import type * as logs from 'aws-cdk-lib/aws-logs';
import type * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import type * as sns from 'aws-cdk-lib/aws-sns';
import type { AgentProtocol } from '../common/agent-queue';
import type { Tracing } from '../common/tracing';
import type { SlackIngress } from '../ingress/slack-ingress';

/** Trello's boards and cards as tools of the agent. */
export interface TrelloProps {
  /**
   * A secret with Trello's API key and token: `{"authorization": "oauth_consumer_key=\"…\", oauth_token=\"…\""}`.
   * @default a secret is created, with a random value that you replace
   */
  readonly secret?: secretsmanager.ISecret;
}

/** What the agent remembers of people, and for how long. */
export interface RememberedPeople {
  /** After how many days what was said, and what was made of it, is deleted: 31 to 3650. @default 90 */
  readonly days?: number;
}

/** An agent that is deployed with the functions, and its tools. */
export interface OwnAgent {
  /**
   * The agent: a zip or a directory that contains `main.py` and all that it imports, built for arm64 (this is not
   * checked). `make agent-zip` makes one of the example agent.
   * @default `artifact`, one of the two being needed
   */
  readonly code?: string;
  /**
   * Your own agent in another form, such as an image or code in S3. Add the rights that it needs to `agentRole`.
   * @default `code`
   */
  readonly artifact?: agentcore.AgentRuntimeArtifact;
  /**
   * How the agent finds its answers: `strands:<model id>`, `bedrock:<model id>`, or `echo`, which repeats the question and asks no
   * model. The default is the model that Strands takes for Bedrock itself, by a global inference profile: any commercial region
   * may answer. Outside of the partition `aws` there is none.
   * @default 'strands:global.anthropic.claude-sonnet-4-6'
   */
  readonly thinking?: string;
  /** The tools of the Gateway that a model may use by Strands: operations, separated by commas. @default none */
  readonly tools?: string;
  /** Adds tools for Trello. @default there are none */
  readonly trello?: TrelloProps;
  /** Further environment variables for the agent. @default none */
  readonly environment?: Record<string, string>;
  /**
   * `adot`: the agent starts under the AWS Distro for OpenTelemetry, which must be in `code`, and may send spans to X-Ray.
   * Spans of a framework may contain what was asked and answered. `off`: the agent names its trace in its log lines and in
   * its calls of agent-settle, and sends no spans.
   * @default 'off'
   */
  readonly tracing?: 'adot' | 'off';
  /**
   * `stream`: something of an answer is shown in Slack while it is being thought. `post`: it is posted when it is there.
   * @default 'post'
   */
  readonly answer?: 'post' | 'stream';
  /** Has the agent remember people from one conversation to the next. It needs a model. @default it does not */
  readonly memory?: RememberedPeople;
}

/** A Gateway with tools for an agent's model. */
export interface ToolsGateway {
  /** Its MCP endpoint. */
  readonly url: string;
  readonly arn: string;
}

/**
 * An agent that is deployed already. With the protocol `work` its role needs `lambda:InvokeFunction` on agent-settle, and
 * its environment the function's ARN (`settle.functionArn`).
 */
export interface ExistingAgent {
  /** The runtime; with the protocol `plain` also a harness, AgentCore's managed loop (`…:harness/…`). */
  readonly runtimeArn: string;
  /** @default 'DEFAULT' */
  readonly qualifier?: string;
  /** The Gateway of its tools, if agent-settle shall call those that change something. @default it calls none */
  readonly toolsGateway?: ToolsGateway;
}

/** The installations of the app that are answered. Each is a workspace (`T…`), or an organisation (`E…`) that has the app in all of it. */
export interface WorkspacesProps {
  /** The installation that the bot token belongs to. */
  readonly first: string;
  /** The other ones. Each gets a secret for its bot token, unless it is given with one. @default none */
  readonly more?: (string | MoreWorkspace)[];
}

/** An installation whose bot token is in a secret already, which `slack-dev install` has created. */
export interface MoreWorkspace {
  readonly tenant: string;
  readonly secret: secretsmanager.ISecret;
}

/** What is suggested in the app's pane. */
export interface SuggestedPrompts {
  /** What stands above the prompts. @default what Slack puts there itself */
  readonly title?: string;
  /** One to four prompts. */
  readonly prompts: SuggestedPrompt[];
}

/** One suggestion. */
export interface SuggestedPrompt {
  /** What people see. */
  readonly title: string;
  /** What they send by choosing it. */
  readonly message: string;
}

/** Of something that is counted, how much may be used within a day of UTC. For whom nothing is said, there is no limit. */
export interface ADay {
  /** By each person, 1 to 10^12. @default no limit */
  readonly person?: number;
  /** In each channel, by all people in it, 1 to 10^12. @default no limit */
  readonly channel?: number;
  /** In each workspace, by all people in it, 1 to 10^12. @default no limit */
  readonly workspace?: number;
}

/**
 * How much may be used within a day of UTC. Who asks when too little is left is told so, and the agent does not begin. Not with two
 * regions.
 */
export interface AgentLimits {
  /** How many questions the agent begins. However many attempts one takes, it counts once. @default no limit */
  readonly questionsADay?: ADay;
  /**
   * How many tokens of the model questions use, in and out, each limit at least `tokensAQuestion`. It also limits how many attempts are
   * at work at once, as each reserves `tokensAQuestion`. The agent must report what it uses, as ours does with a model of Bedrock.
   * @default no limit
   */
  readonly tokensADay?: ADay;
  /**
   * How many calls of tools are made through agent-settle, which with our agent are those that may change something. The agent is told
   * that one beyond it was not made.
   * @default no limit
   */
  readonly toolCallsADay?: ADay;
  /**
   * How many tokens one attempt at a question may use, 1000 to 10000000. It reserves them from the limits of the day before it
   * begins, and gives back what it has not used. Without `tokensADay` it only tells the agent when to come to an end.
   * @default 200000 with `tokensADay`, and otherwise as many as it likes
   */
  readonly tokensAQuestion?: number;
}

/** What is kept of who asked, what was done and what was answered, and for how long. */
export interface AuditTrail {
  /** For how many days an entry is kept, 1 to 3653. @default 365 */
  readonly days?: number;
  /**
   * Which arguments of tools are left out: their names, at any depth, or `tool.name` for one tool, such as
   * `trello___create_card.desc`. `*` stands for all names.
   * @default none
   */
  readonly redact?: string[];
  /** Whether the texts of answers are kept, or only how long they are. @default true */
  readonly texts?: boolean;
  /**
   * Has the whole trail exported to a bucket in S3 every day, where each export is kept for so many days, 1 to 3653.
   * @default nothing is exported
   */
  readonly exportDays?: number;
}

/** The properties of an agent on an ingress's queue. */
export interface SlackAgentProps {
  /**
   * The ingress whose queue is consumed, with `forAgent`. The dispatcher also uses its dead-letter queue and its table.
   */
  readonly ingress: SlackIngress;

  // ── the agent ────────────────────────────────────────────────────────────────────────────────────────
  /** The agent that receives the events: one that is deployed here, or one that exists. */
  readonly agent: OwnAgent | ExistingAgent;
  /**
   * `work`: the agent claims a question and answers through agent-settle. `plain`: the agent knows nothing of that, and what it
   * answers to the call is the answer.
   * @default 'work'
   */
  readonly agentProtocol?: AgentProtocol;
  /**
   * The time that a call of the agent may take. With `work` it is the time within which the agent must claim the
   * question, 1 to 885 s; with `plain` the time within which it must answer, 1 to 840 s.
   * @default 45 seconds; with `plain` 14 minutes
   */
  readonly agentTimeout?: Duration;
  /** `questions`: the agent is called for what asks something. `all`: for every message. @default 'questions' */
  readonly agentEvents?: 'questions' | 'all';
  /**
   * Whose questions are answered beside those of the workspace's members: `guests`, `external` (people of another company in a
   * shared channel), `bots` (whose events the ingress must let through: `botEvents`). Who may not ask is told so once a day, but
   * for bots. Unless both `guests` and `external` are named, the Slack app needs the scope `users:read`, or nobody is answered.
   * @default nobody else's
   */
  readonly alsoAnswers?: string[];
  /**
   * `each`: every question has an answer of its own. `together`: all questions that stand in a thread when a turn begins are answered
   * by one answer. An agent that exists must be told so too (`TURNS`).
   * @default 'each'
   */
  readonly turns?: 'each' | 'together';
  /** How often a question is tried, 1 to 100. Only an agent that claimed it has tried. @default 3 */
  readonly maxAttempts?: number;
  /** How long after its first receive a question is tried, or its answer posted, at most 13 days. @default 24 hours */
  readonly giveUpAfter?: Duration;
  /** How many questions, tokens and calls of tools a person, a channel and a workspace may use within a day. @default no limits */
  readonly limits?: AgentLimits;
  /**
   * The tools of which a person is asked before they are called, and who decides: `{"create_card": "asker"}`. A tool is
   * `<target>___<operation>`, or the operation alone. Who decides is `asker`, who asked the question; a list of users' ids, of whom
   * any one decides; or the id of a user group, of whose members any one decides, for which the Slack app needs the scope
   * `usergroups:read`. The agent goes on when somebody has decided.
   * @default nobody is asked
   */
  readonly approvals?: Record<string, string | string[]>;
  /** With `approvals`: how many hours a person may take to decide, 1 to 168. Then the tool is not called. @default 168, a week */
  readonly approvalHours?: number;

  /**
   * Has agent-settle write down who asks, which tools are called and what is answered, before it is done, in a table of its own.
   * What cannot be written down is not done.
   * @default nothing is written down
   */
  readonly audit?: AuditTrail;

  // ── the Slack app ────────────────────────────────────────────────────────────────────────────────────
  /**
   * A secret with the Slack app's bot token: `{"token": "xoxb-…"}`.
   * @default a secret is created, with a random value that you replace
   */
  readonly botToken?: secretsmanager.ISecret;
  /**
   * The installations of the app. For any other one nothing is ever posted.
   * @default the app is installed once, and whoever asks is answered by the one bot token
   */
  readonly workspaces?: WorkspacesProps;
  /**
   * Whether the bot tokens expire. The function `token-rotation` then gets new ones in time.
   * @default true if `rotationCode` is given, and otherwise false
   */
  readonly rotatingTokens?: boolean;
  /**
   * Whether the Slack app is an agent (`agent_view` in its manifest), with a stop button and a conversation for each root
   * message of a direct message. The ingress then needs `dmConversation: 'thread'`.
   * @default true
   */
  readonly agentView?: boolean;
  /**
   * Whether the files of a question are read. agent-settle then may read the bot token, by which it downloads them, and the
   * Slack app needs the scope `files:read`.
   * @default false
   */
  readonly files?: boolean;
  /** What is suggested to somebody who opens the app's pane in Slack. @default nothing */
  readonly suggestedPrompts?: SuggestedPrompts;
  /** Whether a thread's session in Slack is called by the first words of its question. @default false */
  readonly sessionTitles?: boolean;
  /** Whether answers have buttons by which people say whether they are good. @default false */
  readonly feedbackButtons?: boolean;

  // ── the functions ────────────────────────────────────────────────────────────────────────────────────
  /**
   * The code of `agent-dispatch`, of the same version as the ingress's. Give the code of all functions or of none.
   * @default the function that comes with this package
   */
  readonly dispatchCode?: lambda.Code;
  /** The code of `agent-settle`, of the same version. @default the function that comes with this package */
  readonly settleCode?: lambda.Code;
  /** The code of `token-rotation`, of the same version. @default the function that comes with this package */
  readonly rotationCode?: lambda.Code;
  /** The architecture of the functions. The agent itself is always arm64. @default ARM_64 */
  readonly architecture?: lambda.Architecture;
  /**
   * The dispatcher's time-out, at least 14 s longer than `agentTimeout`, with `plain` 45 s.
   * @default a minute, or more if `agentTimeout` needs it
   */
  readonly timeout?: Duration;
  /**
   * The number of messages in one invocation of the dispatcher, 1 to 10.
   * @default 1: Lambda deletes what is done only when the whole batch is, so a stop, or a question that is none, would
   * wait for an agent that starts
   */
  readonly batchSize?: number;
  /**
   * The number of invocations of the dispatcher, 2 to 1000, that the queue may start at the same time. A stop needs one too,
   * and waits for it when all are busy.
   * @default no limit but the account's
   */
  readonly maxConcurrency?: number;
  /**
   * How long a call to Slack whose outcome is unknown may still be under way, 1 s to 15 minutes. If it is shorter than
   * agent-settle's 30 s and the Gateway's time-out together, an answer may be posted twice.
   * @default 90 seconds
   */
  readonly postWait?: Duration;

  // ── seeing what happens ──────────────────────────────────────────────────────────────────────────────
  /** How long after Slack's request a question may be without an answer before an alarm is raised. @default 15 minutes */
  readonly unansweredAfter?: Duration;
  /** How many tokens all questions together may use within a day before an alarm is raised, 1 to 10^12. @default no alarm */
  readonly alarmTokensADay?: number;
  /** The topic that the alarms notify. @default none */
  readonly alarmTopic?: sns.ITopic;
  /** Whether a dashboard is created. @default true */
  readonly dashboard?: boolean;
  /** The functions' `RUST_LOG`, such as `warn`. @default 'info' */
  readonly logLevel?: string;
  /** Whether X-Ray traces the functions. @default 'active' */
  readonly tracing?: Tracing;
  /** How long the logs of the functions and of the agent are kept. @default one month */
  readonly logRetention?: logs.RetentionDays;
  /**
   * What happens to the secrets, the memory, the audit trail and the logs when they are removed from the stack.
   * @default RETAIN_ON_UPDATE_OR_DELETE: they are kept, unless the deployment that creates them fails
   */
  readonly removalPolicy?: RemovalPolicy;
}
