// Prints the Slack app's manifest.
//
//     npm run --silent manifest                  for creating the app: no events yet
//     npm run --silent manifest -- outputs.json  with the request URL that `cdk deploy --outputs-file` wrote down
//     npm run --silent manifest -- https://…     with this request URL
//
// A second argument is the app's name, a third one a slash command.
import { readFileSync } from 'node:fs';
import { requestUrlIn, slackAppManifest } from '../lib/manifest.ts';

const [source, name, command] = process.argv.slice(2);
try {
  const requestUrl = source?.endsWith('.json') ? requestUrlIn(readFileSync(source, 'utf8')) : source || undefined;
  process.stdout.write(slackAppManifest({ requestUrl, name, command }));
} catch (error) {
  console.error(`manifest: ${(error as Error).message}`);
  process.exitCode = 1;
}
