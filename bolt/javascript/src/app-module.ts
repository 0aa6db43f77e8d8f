import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { App } from '@slack/bolt';
import { SlackIngressBoltError } from './errors';

/** Loads the app that a module exports: by `module.exports = app`, `export default app`, or under the name `app`. */
export async function loadApp(path: string): Promise<App> {
  const file = resolve(path);
  if (!existsSync(file)) throw new SlackIngressBoltError(`${path} is not there`);
  const exported = (await import(pathToFileURL(file).href)) as Record<string, unknown>;
  const byDefault = exported.default as Record<string, unknown> | undefined;
  // TypeScript and some bundlers put an `export default` into a `default` of the `default`.
  const app = [exported.app, byDefault, byDefault?.app, byDefault?.default].find(isApp);
  if (app === undefined) throw new SlackIngressBoltError(`${path} exports no Bolt app: neither by default nor as "app"`);
  return app;
}

// Not `instanceof`: the module may have another copy of Bolt.
function isApp(value: unknown): value is App {
  return typeof (value as App | undefined)?.processEvent === 'function';
}
