import type { App } from '@slack/bolt';
import { SlackIngressBoltError } from './errors';

/**
 * What an app did with one body.
 *
 * Bolt tells a receiver little of it: `processEvent` resolves although a listener threw, if the app has an `app.error(…)` of
 * its own or a middleware that catches what comes out of `next()`; and it acknowledges an event before it asks any listener,
 * so nothing shows whether one took it. Hence the three places in the app that are replaced here.
 */
export interface Attempt {
  /** Whether Bolt got as far as asking the listeners. A global middleware may have taken the message before. */
  reachedListeners: boolean;
  /** Whether a listener was called. */
  listened: boolean;
  /** What listeners threw, and what else Bolt or a middleware failed with, in the order in which it happened. */
  failures: unknown[];
  /** Middleware and listeners that have not ended. A middleware that does not await `next()` leaves them behind. */
  running: Set<Promise<unknown>>;
}

type Middleware = (args: { body: object }) => unknown;

/** Three members that are private in Bolt's types. `test/bolt.test.mjs` pins them, on every version that is supported. */
interface Inside {
  /** The global middleware. */
  middleware: Middleware[];
  /** The last one of each chain is the listener; those before it are its middleware. */
  listeners: Middleware[][];
  /** Where all errors end, also those of authorization and of global middleware; it calls the app's own handler. */
  handleError(args: { error: unknown; body: object }): Promise<unknown>;
}

export interface Watch {
  /** Call it before `app.processEvent` with the very object that goes there. */
  begin(body: object): Attempt;
}

const watched = new WeakMap<App, Watch>();

/**
 * Watches what an app does, without changing what it does: listeners and error handlers get what they would have got, and
 * their errors go where they would have gone. Whether the app was made with this receiver or with another one, and whether
 * listeners are added before or after this, is the same.
 *
 * A message is known by its body, which Bolt passes on as it is. So what goes on at the same time is never confused, and a
 * body that did not come from here, such as that of a request to the same app over HTTP, is left alone.
 */
export function watch(app: App): Watch {
  const known = watched.get(app);
  if (known !== undefined) return known;
  const inside = app as unknown as Inside;
  if (!Array.isArray(inside.middleware) || !Array.isArray(inside.listeners) || typeof inside.handleError !== 'function') {
    throw new SlackIngressBoltError('this version of @slack/bolt is not supported: use 4 or 5');
  }
  const attempts = new WeakMap<object, Attempt>();

  const handleError = inside.handleError.bind(app);
  inside.handleError = (args) => {
    attempts.get(args.body)?.failures.push(args.error);
    return handleError(args);
  };

  // A chain without middleware, so that it is called whenever Bolt asks the listeners.
  const reached: Middleware = ({ body }) => {
    const attempt = attempts.get(body);
    if (attempt !== undefined) attempt.reachedListeners = true;
  };
  inside.listeners.push([reached]);

  const observed = new WeakSet<Middleware>([reached]);
  const observe = (called: Middleware, isListener: boolean): Middleware => {
    if (typeof called !== 'function' || observed.has(called)) return called;
    const observer: Middleware = async (args) => {
      const attempt = attempts.get(args.body);
      if (attempt === undefined) return called(args);
      attempt.listened ||= isListener;
      // It is called at once, as Bolt would: listeners of one message share a context that others go on to change.
      const running = (async () => called(args))();
      attempt.running.add(running);
      try {
        return await running;
      } catch (error) {
        attempt.failures.push(error);
        throw error;
      } finally {
        attempt.running.delete(running);
      }
    };
    observed.add(observer);
    return observer;
  };

  const watch: Watch = {
    begin(body) {
      // At each message, because an app may add listeners at any time. Middleware as well: where one before it does not await
      // `next()`, nothing else shows that it has yet to call a listener.
      inside.middleware.forEach((called, index, all) => { all[index] = observe(called, false); });
      for (const chain of inside.listeners) {
        chain.forEach((called, index) => { chain[index] = observe(called, index === chain.length - 1); });
      }
      const attempt: Attempt = { reachedListeners: false, listened: false, failures: [], running: new Set() };
      attempts.set(body, attempt);
      return attempt;
    },
  };
  watched.set(app, watch);
  return watch;
}
