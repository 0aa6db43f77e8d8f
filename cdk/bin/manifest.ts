// Prints the manifest of a Slack app whose events go to an ingress.
//
//     npm run --silent manifest                  to create the app: it subscribes to no events yet
//     npm run --silent manifest -- outputs.json  as `cdk deploy --outputs-file` wrote down: the request URL, and whether
//                                                there is an agent's stack
//     npm run --silent manifest -- https://…     with this request URL
//
// The second argument is the app's name, the third one a slash command. Without outputs.json, `--answers=agent` or
// `--answers=app` says that the agent's stack answers, in an app that is an agent in Slack or that is none, `--prompts` that
// prompts are suggested in its pane, `--files` that the files of questions are read, and `--groups` that members of a user group
// decide on calls of tools.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { deploymentIn, slackAppManifest } from '../lib/ingress/manifest';

try {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { answers: { type: 'string' }, prompts: { type: 'boolean' }, files: { type: 'boolean' }, groups: { type: 'boolean' } },
  });
  const [source, name, command] = positionals;
  const { answers, prompts: suggestsPrompts, files: readsFiles, groups: asksUserGroups } = values;
  if (answers !== undefined && answers !== 'agent' && answers !== 'app') throw new Error('--answers must be agent or app');
  const deployment = source?.endsWith('.json') ? deploymentIn(readFileSync(source, 'utf8')) : { requestUrl: source || undefined };
  const more = { ...(suggestsPrompts && { suggestsPrompts }), ...(readsFiles && { readsFiles }), ...(asksUserGroups && { asksUserGroups }) };
  process.stdout.write(slackAppManifest({ ...deployment, ...(answers && { answers }), ...more, name, command }));
} catch (error) {
  console.error(`manifest: ${(error as Error).message}`);
  process.exitCode = 1;
}
