// The manifest of a Slack app, as text. This file creates no AWS resource.

export interface ManifestProps {
  /**
   * The stack's output `RequestUrl`. Without it the manifest subscribes to no events, because Slack sends a challenge
   * to the URL before it accepts the subscription.
   */
  readonly requestUrl?: string;
  /** The app's name. @default 'Agent' */
  readonly name?: string;
  /** A slash command, such as `/agent`. @default none */
  readonly command?: string;
  /**
   * What answers. `agent`: the agent's stack, and the app is an agent in Slack (`agent_view`). `app`: the agent's stack,
   * and the app is none. The agent's stack needs scopes to find its own answers in Slack, and for the agent's tools.
   * @default a consumer of your own, which adds the scopes that it needs
   */
  readonly answers?: 'agent' | 'app';
  /**
   * Whether agent-settle suggests prompts when somebody opens the app's pane, of which Slack then has to tell. Only an app
   * that is an agent has a pane. @default false
   */
  readonly suggestsPrompts?: boolean;
  /**
   * Whether the app's tokens expire (token rotation). Slack never turns it off again. The app then has the redirect URL of
   * `slack-dev install` too. @default false
   */
  readonly rotatesTokens?: boolean;
  /** Whether agent-settle reads the files of questions, for which it needs a scope. @default false */
  readonly readsFiles?: boolean;
  /** Whether members of a user group decide on calls of tools, for which agent-settle needs a scope to find out who they are. @default false */
  readonly asksUserGroups?: boolean;
}

/** The redirect URL of `slack-dev install` (REDIRECT_URL in slack-dev/src/install). */
const REDIRECT_URL = 'https://localhost:8765/slack/install';

/** What the app is, in the words that people read beside it. Slack allows 300 bytes. */
const AGENT_DESCRIPTION = 'Answers what you ask it, here and where you mention it.';

/**
 * The scopes with which agent-settle looks for a post of its own whose outcome is unknown, by the kind of conversation. A
 * direct message needs `im:history` for its events already.
 */
const READING_SCOPES = ['channels:history', 'groups:history', 'mpim:history'];

/**
 * The scopes of the agent's own tools, of which `chat:write` is one already (tools/slack.openapi.json and
 * tools/slack_canvases.openapi.json).
 */
const TOOL_SCOPES = ['canvases:read', 'canvases:write', 'reactions:write'];

/** The scope with which agent-settle finds out whether somebody who asks is a guest. */
const ASKER_SCOPES = ['users:read'];

/** Returns the manifest, in YAML, of a Slack app whose events go to an ingress. */
export function slackAppManifest(props: ManifestProps): string {
  const { requestUrl, name = 'Agent', command, answers } = props;
  const { suggestsPrompts = false, rotatesTokens = false, readsFiles = false, asksUserGroups = false } = props;
  if (requestUrl !== undefined && !/^https?:\/\/[^\s"'\\]+\/slack\/events$/.test(requestUrl)) {
    throw new Error(`not a request URL, which ends in /slack/events: ${requestUrl}`);
  }
  if (command !== undefined && !/^\/[a-z0-9_-]{1,31}$/.test(command)) {
    throw new Error(`not a slash command, such as /agent: ${command}`);
  }
  const url = (path: string) => requestUrl!.replace(/events$/, path);
  // A JSON string is also a YAML string.
  const title = JSON.stringify(name);
  const scopes = [
    'app_mentions:read',
    ...(answers === 'agent' ? ['assistant:write'] : []),
    'chat:write',
    ...(command === undefined ? [] : ['commands']),
    ...(answers !== undefined && readsFiles ? ['files:read'] : []),
    'im:history',
    ...(answers !== undefined && asksUserGroups ? ['usergroups:read'] : []),
    ...(answers === undefined ? [] : [...READING_SCOPES, ...TOOL_SCOPES, ...ASKER_SCOPES]),
  ].sort();
  // A deletion comes with the messages: `message.im` brings it for direct messages. `message.channels` would bring it for
  // channels, and with it every message that anybody writes there.
  const events = [
    ...(answers === 'agent' ? ['agent_session_stopped'] : []),
    ...(answers === 'agent' && suggestsPrompts ? ['app_home_opened'] : []),
    'app_mention',
    'message.im',
  ];
  const list = (items: string[]) => items.map((it) => `      - ${it}\n`).join('');
  return `display_information:
  name: ${title}
features:
  app_home:
    messages_tab_enabled: true
    messages_tab_read_only_enabled: false
${
  answers === 'agent'
    ? `  agent_view:
    agent_description: ${JSON.stringify(AGENT_DESCRIPTION)}
`
    : ''
}  bot_user:
    display_name: ${title}
    always_online: true
${
  command === undefined || requestUrl === undefined
    ? ''
    : `  slash_commands:
    - command: ${command}
      url: ${url('commands')}
      description: ${title}
      should_escape: false
`
}oauth_config:
${rotatesTokens ? `  redirect_urls:\n    - ${REDIRECT_URL}\n` : ''}  scopes:
    bot:
${list(scopes)}\
settings:
${
  requestUrl === undefined
    ? ''
    : `  event_subscriptions:
    request_url: ${requestUrl}
    bot_events:
${list(events)}\
  interactivity:
    is_enabled: true
    request_url: ${url('interactions')}
`
}  org_deploy_enabled: false
  socket_mode_enabled: false
  token_rotation_enabled: ${rotatesTokens}
`;
}

/** Finds in the file that `cdk deploy --outputs-file` wrote what the manifest needs to know of the deployment. */
export function deploymentIn(
  outputs: string,
): Pick<ManifestProps, 'requestUrl' | 'answers' | 'suggestsPrompts' | 'rotatesTokens' | 'readsFiles' | 'asksUserGroups'> {
  const stacks = Object.values(JSON.parse(outputs) as Record<string, Record<string, string>>);
  const urls = stacks.flatMap((stack) => stack.RequestUrl ?? []);
  if (urls.length !== 1) throw new Error(`the outputs contain ${urls.length} request URLs, not one: pass the URL itself`);
  const agentView = stacks.flatMap((stack) => stack.AgentView ?? [])[0];
  const answers = agentView === undefined ? undefined : agentView === 'true' ? 'agent' : 'app';
  const says = (output: string) => stacks.some((stack) => stack[output] === 'true');
  const [suggestsPrompts, rotatesTokens] = [says('SuggestsPrompts'), says('RotatesTokens')];
  const [readsFiles, asksUserGroups] = [says('ReadsFiles'), says('AsksUserGroups')];
  return { requestUrl: urls[0], answers, suggestsPrompts, rotatesTokens, readsFiles, asksUserGroups };
}
