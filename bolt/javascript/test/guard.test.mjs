// The guard, in DynamoDB Local.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, before, beforeEach, test } from 'node:test';
import { createTable, item, putItem } from './support/aws.mjs';
import { behindTheQueue, invocation } from './support/harness.mjs';
import { command, mention, record } from './support/messages.mjs';
import { startSlack } from './support/slack.mjs';
import { until } from './support/until.mjs';

let slack;
let table;
const proxies = [];
before(async () => {
  slack = await startSlack();
  table = await createTable();
});
after(async () => {
  for (const proxy of proxies) proxy.stop();
  await slack.stop();
});

let runs;
beforeEach(() => { runs = 0; });

function guarded(listener = async () => {}, receiver = {}) {
  const behind = behindTheQueue(slack, { receiver: { table, ...receiver } });
  behind.app.event('app_mention', async (args) => { runs += 1; await listener(args); });
  return behind;
}

const now = () => Date.now();
const seconds = () => Math.floor(Date.now() / 1000);
let count = 0;
const fresh = (options) => record(mention('x'), { eventId: `Ev-guard-${process.pid}-${count += 1}`, ...options });
const idOf = (message) => message.messageAttributes.event_id.stringValue;

test('a finished message is recorded as done for longer than a queue can keep it, and does not run again', async () => {
  const { run, outcomes } = guarded();
  const message = fresh();
  assert.deepEqual(await run(message), []);
  const written = await item(table, idOf(message));
  assert.deepEqual(Object.keys(written).sort(), ['event_id', 'expires_at', 'owner', 'state']);
  assert.equal(written.state, 'done');
  assert.match(written.owner, /^[0-9a-f]{32}$/);
  const kept = written.expires_at - seconds();
  assert.ok(kept > 14 * 86400 + 3600 - 60 && kept <= 14 * 86400 + 3600, String(kept));

  // As another message of the queue, because the id counts and not the message.
  assert.deepEqual(await run({ ...message, messageId: 'another' }), []);
  assert.equal(runs, 1);
  assert.deepEqual(outcomes(), ['done', 'duplicate']);
});

test('nobody listens: recorded as done too', async () => {
  const behind = behindTheQueue(slack, { receiver: { table } });
  const message = fresh();
  await behind.run(message);
  assert.equal((await item(table, idOf(message))).state, 'done');
  await behind.run(message);
  assert.deepEqual(behind.outcomes(), ['nobody_listens', 'duplicate']);
});

test('a failed message leaves no record, so the next delivery runs at once', async () => {
  let bad = true;
  const { app, run, outcomes } = guarded(async () => { if (bad) throw new Error('x'); });
  app.error(async () => {});
  const message = fresh();
  assert.deepEqual(await run(message), [message.messageId]);
  assert.equal(await item(table, idOf(message)), undefined);
  bad = false;
  assert.deepEqual(await run(message), []);
  assert.deepEqual(outcomes(), ['failed', 'done']);
});

test('while it runs, the lease lasts to the invocation\'s deadline and five seconds more', async () => {
  let written;
  const message = fresh();
  const behind = guarded(async () => { written = await item(table, idOf(message)); });
  const deadline = now() + 30_000;
  await behind.handle({ Records: [message] }, { getRemainingTimeInMillis: () => deadline - now() });
  assert.equal(written.state, 'running');
  assert.ok(Math.abs(written.lease_until - (deadline + 5_000)) < 50, `${written.lease_until - deadline}`);
});

test('two deliveries at once of one message: one listener', async () => {
  const message = fresh();
  const slow = async () => { await sleep(300); };
  const consumers = Array.from({ length: 5 }, () => guarded(slow));
  const left = await Promise.all(consumers.map(({ run }) => run(message)));
  assert.equal(runs, 1);
  assert.equal(left.filter((ids) => ids.length === 0).length, 1);
  assert.deepEqual(consumers.flatMap(({ outcomes }) => outcomes()).sort(), ['done', 'in_flight', 'in_flight', 'in_flight', 'in_flight']);
});

test('one message twice in one batch of a standard queue: one listener', async () => {
  const { run, outcomes } = guarded(async () => { await sleep(200); });
  const message = fresh({ fifo: false });
  const copy = { ...message, messageId: 'copy' };
  assert.equal((await run(message, copy)).length, 1);
  assert.equal(runs, 1);
  assert.deepEqual(outcomes().sort(), ['done', 'in_flight']);
});

test('a live lease of another consumer: in flight, nothing runs; a lease that is over is taken over', async () => {
  const { run, outcomes } = guarded();
  const message = fresh();
  await putItem(table, idOf(message), { state: 'running', lease_until: now() + 60_000 });
  assert.deepEqual(await run(message), [message.messageId]);
  assert.equal(runs, 0);
  await putItem(table, idOf(message), { state: 'running', lease_until: now() - 1 });
  assert.deepEqual(await run(message), []);
  assert.deepEqual(outcomes(), ['in_flight', 'done']);
});

test('FIFO: while another consumer is at work on a message, nothing after it in its group runs', async () => {
  const { run, outcomes } = guarded();
  const [first, second, other] = [fresh({ group: 'a' }), fresh({ group: 'a' }), fresh({ group: 'b' })];
  await putItem(table, idOf(first), { state: 'running', lease_until: now() + 60_000 });
  assert.deepEqual((await run(first, second, other)).sort(), [first.messageId, second.messageId].sort());
  assert.equal(runs, 1);
  assert.deepEqual(outcomes().sort(), ['done', 'held_back', 'in_flight']);
});

test('a record that is expired is free, although DynamoDB has not deleted it', async () => {
  const { run, outcomes } = guarded();
  for (const state of ['done', 'running']) {
    const message = fresh();
    await putItem(table, idOf(message), { state, lease_until: now() + 60_000, expires_at: seconds() - 1 });
    await run(message);
  }
  assert.deepEqual(outcomes(), ['done', 'done']);
});

test('a record that is done does not become free with its lease', async () => {
  const { run, outcomes } = guarded();
  const message = fresh();
  await putItem(table, idOf(message), { state: 'done', lease_until: now() - 60_000 });
  await run(message);
  assert.deepEqual(outcomes(), ['duplicate']);
});

test('a consumer that lost its lease changes nothing of the other\'s record, and says so', async () => {
  for (const fails of [false, true]) {
    const message = fresh();
    const theirs = { state: 'running', owner: 'another', lease_until: now() + 60_000 };
    const { app, run, warnings } = guarded(async () => {
      await putItem(table, idOf(message), theirs);
      if (fails) throw new Error('x');
    });
    app.error(async () => {});
    await run(message);
    const left = await item(table, idOf(message));
    assert.deepEqual([left.state, left.owner], ['running', 'another']);
    assert.equal(warnings().filter((line) => /lease was lost/.test(line.message)).length, fails ? 0 : 1);
  }
});

test('a message without the attribute event_id is recorded under its own id, with one warning', async () => {
  const { run, outcomes, warnings } = guarded();
  const message = record(mention('x'), { attributes: { event_id: undefined } });
  await run(message);
  await run(message);
  assert.equal((await item(table, message.messageId)).state, 'done');
  assert.deepEqual(outcomes(), ['done', 'duplicate']);
  assert.equal(warnings().length, 1);
});

test('without a table there is one warning, and every delivery runs', async () => {
  const behind = behindTheQueue(slack);
  behind.app.event('app_mention', async () => { runs += 1; });
  const message = fresh();
  await behind.run(message);
  await behind.run(message);
  assert.equal(runs, 2);
  assert.equal(behind.warnings().length, 1);
  assert.match(behind.warnings()[0].message, /BOLT_TABLE.*runs its listeners again/);
});

test('a guard that cannot be asked: nothing runs, and the message stays', async () => {
  const { run, outcomes, lines } = guarded(undefined, { table: 'no-such-table' });
  const message = fresh();
  assert.deepEqual(await run(message), [message.messageId]);
  assert.equal(runs, 0);
  assert.deepEqual(outcomes(), ['failed']);
  assert.match(lines.at(-1).error, /ResourceNotFound/);
});

/** What a call does to a record: a claim, a renewal and a "done" are all updates. */
function stepOf(operation, body) {
  if (operation === 'DeleteItem') return 'delete';
  const { ':running': running, ':done': done } = JSON.parse(body).ExpressionAttributeValues;
  return running ? 'claim' : done ? 'done' : 'renew';
}

/**
 * Stands before DynamoDB Local and breaks off the answers of some steps after they took effect, refuses them, or takes them and
 * says nothing.
 */
async function proxy() {
  const broken = { lose: new Set(), refuse: new Set(), silent: new Set(), seen: [] };
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const step = stepOf(request.headers['x-amz-target'].split('.')[1], Buffer.concat(chunks).toString());
    broken.seen.push(step);
    if (broken.silent.has(step)) return;
    if (broken.refuse.has(step)) return response.writeHead(500).end();
    const answer = await fetch(process.env.DYNAMODB_URL, {
      method: 'POST', body: Buffer.concat(chunks),
      headers: Object.fromEntries(['authorization', 'x-amz-date', 'x-amz-target', 'content-type'].map((name) => [name, request.headers[name]])),
    });
    const body = Buffer.from(await answer.arrayBuffer());
    if (broken.lose.delete(step)) return response.socket.destroy();
    const checksum = answer.headers.get('x-amz-crc32');
    return response.writeHead(answer.status, { 'content-type': 'application/x-amz-json-1.0', ...(checksum ? { 'x-amz-crc32': checksum } : {}) }).end(body);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  broken.url = `http://127.0.0.1:${server.address().port}`;
  proxies.push(broken);
  broken.stop = () => { server.closeAllConnections(); server.close(); };
  return broken;
}

/** A guarded app whose calls to DynamoDB go by the proxy. */
function behindProxy(broken, listener) {
  const direct = process.env.AWS_ENDPOINT_URL_DYNAMODB;
  process.env.AWS_ENDPOINT_URL_DYNAMODB = broken.url;
  const behind = guarded(listener);
  return { ...behind, restore: () => { process.env.AWS_ENDPOINT_URL_DYNAMODB = direct; } };
}

test('a claim whose answer was lost is one\'s own, when it is sent again', async () => {
  const broken = await proxy();
  const { run, outcomes, restore } = behindProxy(broken);
  broken.lose.add('claim');
  const message = fresh();
  assert.deepEqual(await run(message), []);
  restore();
  assert.equal(broken.seen.filter((step) => step === 'claim').length, 2);
  assert.deepEqual([runs, outcomes()], [1, ['done']]);
  assert.equal((await item(table, idOf(message))).state, 'done');
});

test('a table that takes a call and says nothing: each of three attempts ends after two seconds, and nothing runs', async () => {
  const broken = await proxy();
  const { run, outcomes, restore } = behindProxy(broken);
  broken.silent.add('claim');
  const message = fresh();
  const started = now();
  const left = await Promise.race([run(message), sleep(20_000, 'it waits without an end', { ref: false })]);
  restore();
  assert.deepEqual(left, [message.messageId]);
  assert.deepEqual([runs, outcomes(), broken.seen], [0, ['failed'], ['claim', 'claim', 'claim']]);
  assert.ok(now() - started >= 5_900);
});

test('that the text of an ack was shown outlives a process that is killed, and a claim whose answer was lost', async () => {
  const broken = await proxy();
  const message = record(command(slack.url), { eventId: `Ev-guard-ack-${process.pid}` });
  const table = await createTable();
  const direct = process.env.AWS_ENDPOINT_URL_DYNAMODB;
  process.env.AWS_ENDPOINT_URL_DYNAMODB = broken.url;
  const behind = behindTheQueue(slack, { receiver: { table } });
  behind.app.error(async () => {});
  behind.app.command('/deploy', async ({ ack }) => { await ack('on it'); runs += 1; if (runs === 1) throw new Error('x'); });
  const before = slack.count('response_url');
  await behind.run(message);
  process.env.AWS_ENDPOINT_URL_DYNAMODB = direct;
  broken.lose.add('claim');
  // It neither writes that it is done nor reports it, as if it had been killed. Its lease is over soon.
  broken.refuse.add('done');
  const deadline = now() + 2_500;
  await behind.handle({ Records: [message] }, { getRemainingTimeInMillis: () => deadline - now() });
  const left = await item(table, idOf(message));
  assert.deepEqual([left.state, left.ack], ['running', 'sent']);
  assert.deepEqual(broken.seen.slice(0, 4), ['claim', 'renew', 'claim', 'claim']);
  broken.refuse.clear();
  await until('the lease is over', async () => (await behind.run(message)).length === 0, 20);
  assert.equal(runs, 3);
  assert.equal(slack.count('response_url') - before, 1);
});

test('a "done" that cannot be written is tried three times; then the message is done all the same, and it is said', async () => {
  const broken = await proxy();
  const { run, outcomes, warnings, restore } = behindProxy(broken);
  broken.refuse.add('done');
  const message = fresh();
  assert.deepEqual(await run(message), []);
  restore();
  assert.equal(broken.seen.filter((step) => step === 'done').length, 3);
  assert.deepEqual(outcomes(), ['done']);
  assert.match(warnings().at(-1).message, /could not record the outcome done/);
  assert.equal((await item(table, idOf(message))).state, 'running');
});

test('a failure that cannot be written: the message stays, and its next delivery waits for the end of the lease', async () => {
  const broken = await proxy();
  const { app, handle, warnings, restore } = behindProxy(broken, async () => { if (runs === 1) throw new Error('x'); });
  app.error(async () => {});
  broken.refuse.add('delete');
  const message = fresh();
  // So little is left that the lease is over soon. The listener has to begin, so it is as much as an invocation needs for that.
  const deadline = now() + 2_500;
  assert.equal((await handle({ Records: [message] }, { getRemainingTimeInMillis: () => deadline - now() })).batchItemFailures.length, 1);
  assert.match(warnings().at(-1).message, /could not record the outcome failed/);
  await until('the lease is over', async () => (await handle({ Records: [message] }, invocation())).batchItemFailures.length === 0, 20);
  restore();
  assert.equal(runs, 2);
});
