// OpenAPI documents for the tests.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SLACK_DOCUMENT } from '../../lib/agent/gateway';
import { temporaryDirectory } from '../support';

/** Writes a copy of Slack's document that `change` has changed, and returns its path. */
export function documentWith(change: (document: any) => void): string {
  const document = JSON.parse(readFileSync(SLACK_DOCUMENT, 'utf8'));
  change(document);
  const path = join(temporaryDirectory(), 'openapi.json');
  writeFileSync(path, JSON.stringify(document));
  return path;
}
