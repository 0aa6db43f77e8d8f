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
}

/** Returns the manifest, in YAML, of a Slack app whose events go to an ingress. */
export function slackAppManifest({ requestUrl, name = 'Agent', command }: ManifestProps): string {
  if (requestUrl !== undefined && !/^https?:\/\/[^\s"'\\]+\/slack\/events$/.test(requestUrl)) {
    throw new Error(`not a request URL, which ends in /slack/events: ${requestUrl}`);
  }
  if (command !== undefined && !/^\/[a-z0-9_-]{1,31}$/.test(command)) {
    throw new Error(`not a slash command, such as /agent: ${command}`);
  }
  const url = (path: string) => requestUrl!.replace(/events$/, path);
  // A JSON string is also a YAML string.
  const title = JSON.stringify(name);
  return `display_information:
  name: ${title}
features:
  app_home:
    messages_tab_enabled: true
    messages_tab_read_only_enabled: false
  bot_user:
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
  scopes:
    bot:
      - app_mentions:read
      - chat:write
${command === undefined ? '' : '      - commands\n'}\
      - im:history
settings:
${
  requestUrl === undefined
    ? ''
    : `  event_subscriptions:
    request_url: ${requestUrl}
    bot_events:
      - app_mention
      - message.im
  interactivity:
    is_enabled: true
    request_url: ${url('interactions')}
`
}  org_deploy_enabled: false
  socket_mode_enabled: false
  token_rotation_enabled: false
`;
}

/** Finds the request URL in the file that `cdk deploy --outputs-file` wrote. */
export function requestUrlIn(outputs: string): string {
  const stacks = Object.values(JSON.parse(outputs) as Record<string, Record<string, string>>);
  const urls = stacks.flatMap((stack) => stack.RequestUrl ?? []);
  if (urls.length !== 1) throw new Error(`the outputs contain ${urls.length} request URLs, not one: pass the URL itself`);
  return urls[0]!;
}
