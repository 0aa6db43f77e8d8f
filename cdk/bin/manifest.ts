// Prints the manifest of a Slack app whose events go to an ingress.
//
//     npm run --silent manifest                  to create the app: it subscribes to no events yet
//     npm run --silent manifest -- outputs.json  with the request URL that `cdk deploy --outputs-file` wrote down
//     npm run --silent manifest -- https://…     with this request URL
//
// The second argument is the app's name, the third one a slash command.
import { readFileSync } from 'node:fs';
import { requestUrlIn, slackAppManifest } from '../lib/ingress/manifest.ts';

const [source, name, command] = process.argv.slice(2);
try {
  const requestUrl = source?.endsWith('.json') ? requestUrlIn(readFileSync(source, 'utf8')) : source || undefined;
  process.stdout.write(slackAppManifest({ requestUrl, name, command }));
} catch (error) {
  console.error(`manifest: ${(error as Error).message}`);
  process.exitCode = 1;
}
