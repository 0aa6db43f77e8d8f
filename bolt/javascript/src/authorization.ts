import type { App } from '@slack/bolt';
import { SlackIngressBoltError } from './errors';

/** Who a message is from, as far as it is read here. */
interface Source {
  isEnterpriseInstall: boolean;
}

type Authorize = (source: Source, body?: unknown) => Promise<object>;

/** A member that is private in Bolt's types. `test/bolt.test.mjs` pins it, on every version that is supported. */
interface Inside {
  /** Undefined until `app.init()`, in an app with `deferInitialization`. */
  authorize: Authorize | undefined;
}

/**
 * Has an app with a single token ask Slack again after an `auth.test` that failed.
 *
 * Bolt asks it when such an app is made, and keeps the answer for as long as the process lives, also if that is an error. Every
 * later message would fail by it, until all of them are in the dead-letter queue. So a message that finds an error asks anew, and
 * a good answer counts for the messages after it, too. Apps with OAuth or an `authorize` of their own are left as they are: Bolt
 * asks these for each message.
 */
export function askAgain(app: App): void {
  const inside = app as unknown as Inside;
  const { authorize } = inside;
  const { token } = app.client;
  // With `deferInitialization`, `app.init()` fails if its `auth.test` does, and may be called again.
  if (token === undefined || authorize === undefined) return;
  if (typeof authorize !== 'function') throw new SlackIngressBoltError('this version of @slack/bolt is not supported: use 4 or 5');

  // By the error that Bolt keeps. With `tokenVerificationEnabled: false` it keeps none, and each is a new one.
  const answers = new WeakMap<object, Promise<object>>();
  const test = async (): Promise<object> => {
    const { bot_id: botId, user_id: botUserId } = await app.client.auth.test({ token });
    return { botId, botUserId };
  };
  inside.authorize = async (source, body) => {
    try {
      return await authorize(source, body);
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      const answer = answers.get(error) ?? test();
      answers.set(error, answer);
      try {
        return { isEnterpriseInstall: source.isEnterpriseInstall, botToken: token, ...(await answer) };
      } catch (again) {
        // The next message asks anew.
        if (answers.get(error) === answer) answers.delete(error);
        throw again;
      }
    }
  };
}
