import { HTTPReceiver, type HTTPReceiverOptions } from '@slack/bolt';
import { SlackIngressBoltError } from './errors';

/** The settings of an app with OAuth. They are those of Bolt's own receivers. */
export type OAuthOptions = Pick<HTTPReceiverOptions,
  'clientId' | 'clientSecret' | 'stateSecret' | 'redirectUri' | 'installationStore' | 'scopes' | 'installerOptions'
  | 'logger' | 'logLevel'>;

/** Bolt's `InstallProvider`, by which an app finds the token of a workspace or an organisation. */
export type Installer = NonNullable<HTTPReceiver['installer']>;

/**
 * Has Bolt make the `InstallProvider`, out of the same options and under the same conditions as for its own receiver. The
 * receiver that comes with it is thrown away; it listens to nothing.
 */
export function installerOf(options: OAuthOptions): Installer | undefined {
  const { clientId, clientSecret, stateSecret, redirectUri, installationStore, scopes, installerOptions, logger, logLevel } = options;
  if (clientId === undefined && clientSecret === undefined && installationStore === undefined) return undefined;
  const given = { clientId, clientSecret, stateSecret, redirectUri, installationStore, scopes, installerOptions, logger, logLevel };
  const { installer } = new HTTPReceiver({
    signingSecret: '',
    signatureVerification: false,
    ...(Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as OAuthOptions),
  });
  if (installer === undefined) {
    throw new SlackIngressBoltError(
      'OAuth needs clientId, clientSecret and stateSecret (or installerOptions.stateStore, or installerOptions.stateVerification: false)',
    );
  }
  return installer;
}
