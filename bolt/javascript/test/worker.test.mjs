// The worker as a process, on a real queue, killed and stopped.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, before, describe, test } from 'node:test';
import { GetQueueAttributesCommand, SetQueueAttributesCommand } from '@aws-sdk/client-sqs';
import { createQueue, createTable, depth, item, send, sqs } from './support/aws.mjs';
import { mention, record } from './support/messages.mjs';
import { startSlack } from './support/slack.mjs';
import { until } from './support/until.mjs';
import { appFile, startWorker } from './support/workers.mjs';

let slack;
const workers = [];
const proxies = [];
before(async () => { slack = await startSlack(); });
after(async () => {
  await Promise.all(workers.map((worker) => worker.kill()));
  for (const proxy of proxies) proxy.stop();
  await slack.stop();
});

/** A queue, a table, and the workers of one test, which all tell into one story. */
async function world(options) {
  const [queueUrl, table] = await Promise.all([createQueue(options), createTable()]);
  const story = [];
  const sent = [];
  const outcomes = (name) => story.filter((line) => line.outcome && line.event_id === name).map((line) => line.outcome);
  const told = (listener, name) => story.filter((line) => line.listener === listener && line.name === name).length;
  return {
    queueUrl, table, story,
    worker(more = {}) {
      const worker = startWorker({ slack, queueUrl, table, story, ...more });
      workers.push(worker);
      return worker;
    },
    send(name, { ms, fails, group = name } = {}) {
      sent.push(name);
      return send(queueUrl, record(mention(JSON.stringify({ name, ms, fails })), { eventId: name, group }));
    },
    begins: (name) => told('begins', name),
    ends: (name) => told('ends', name),
    outcomes,
    /** Waits until all that was sent has left the queue, and until the workers' last words about it are here. */
    async empty() {
      await until('the queue is empty', async () => Object.values(await depth(queueUrl)).every((number) => number === 0), 90);
      const finished = (name) => outcomes(name).filter((outcome) => outcome === 'done' || outcome === 'duplicate').length;
      await until('all is told', () => sent.every((name) => finished(name) >= sent.filter((each) => each === name).length));
    },
  };
}

describe('a worker', { concurrency: 20 }, () => {
  test('runs what is on the queue, and deletes it', async () => {
    const { worker, send, ends, empty, table, outcomes } = await world();
    const one = worker();
    for (const name of ['a', 'b', 'c']) await send(name);
    await empty();
    for (const name of ['a', 'b', 'c']) {
      assert.deepEqual([ends(name), outcomes(name), (await item(table, name)).state], [1, ['done'], 'done']);
    }
    assert.deepEqual(await one.kill('SIGTERM'), { code: 0, signal: null });
  });

  test('killed in the middle of a listener: the message comes again and runs', async () => {
    const { worker, send, begins, ends, empty, table } = await world();
    const killed = worker();
    await send('a', { ms: 5_000 });
    await until('the listener runs', () => begins('a') === 1);
    await killed.kill();
    assert.equal((await item(table, 'a')).state, 'running');
    worker();
    await empty();
    assert.deepEqual([begins('a'), ends('a'), (await item(table, 'a')).state], [2, 1, 'done']);
  });

  test('killed after a listener was recorded as done, but before its message was deleted: it does not run again', async () => {
    const { queueUrl, worker, send, begins, empty, outcomes } = await world();
    const proxy = await withoutDelete();
    const killed = worker({ queueUrl: queueUrl.replace(process.env.SQS_URL, proxy.url) });
    await send('a');
    await until('the deletion is asked for', () => proxy.refused > 0);
    await killed.kill();
    worker();
    await empty();
    assert.deepEqual([begins('a'), outcomes('a')], [1, ['done', 'duplicate']]);
  });

  for (const signal of ['SIGTERM', 'SIGINT']) {
    test(`${signal}: finishes what runs, takes nothing new, gives back what waits`, async () => {
      const { queueUrl, worker, send, begins, ends, empty, story } = await world();
      await send('first', { ms: 2_000, group: 'g' });
      await send('second', { group: 'g' });
      const stopped = worker();
      await until('the first listener runs', () => begins('first') === 1);
      stopped.child.kill(signal);
      await until('it stops', () => story.some((line) => line.message === 'the worker stops'));
      await send('third');
      assert.deepEqual(await stopped.ended, { code: 0, signal: null });
      assert.deepEqual([ends('first'), begins('second'), begins('third')], [1, 0, 0]);
      // What it had received is given back, and nobody has to wait for the end of its invisibility.
      assert.deepEqual(await depth(queueUrl), { visible: 2, hidden: 0 });
      worker();
      await empty();
      assert.deepEqual([ends('first'), ends('second'), ends('third')], [1, 1, 1]);
    });
  }

  test('a second SIGTERM ends it at once', async () => {
    const { worker, send, begins, ends, story } = await world();
    const stopped = worker();
    await send('a', { ms: 60_000 });
    await until('the listener runs', () => begins('a') === 1);
    stopped.child.kill('SIGTERM');
    await until('it stops', () => story.some((line) => line.message === 'the worker stops'));
    stopped.child.kill('SIGTERM');
    assert.deepEqual(await stopped.ended, { code: 143, signal: null });
    assert.equal(ends('a'), 0);
  });

  test('a listener that takes longer than the lease and the message\'s invisibility runs once, beside another worker', async () => {
    const { worker, send, begins, ends, empty } = await world({ fifo: false });
    worker();
    worker();
    await send('long', { ms: 12_000 });
    await empty();
    assert.deepEqual([begins('long'), ends('long')], [1, 1]);
  });

  test('one event twice on a standard queue, two workers: one listener', async () => {
    const { worker, send, begins, empty, outcomes } = await world({ fifo: false });
    const both = [worker(), worker()];
    await Promise.all(both.map((each) => each.polls()));
    await Promise.all([send('a', { ms: 1_000 }), send('a', { ms: 1_000 })]);
    await empty();
    assert.equal(begins('a'), 1);
    assert.deepEqual(outcomes('a').filter((outcome) => outcome !== 'in_flight').sort(), ['done', 'duplicate']);
  });

  test('a FIFO group keeps its order after a failure, and the failed message comes again', async () => {
    const { worker, send, begins, ends, story, table, outcomes } = await world();
    await send('bad', { group: 'g', fails: true });
    await send('next', { group: 'g' });
    worker();
    await send('other');
    await until('the failed message runs again', () => begins('bad') === 2, 120);
    assert.deepEqual([begins('next'), ends('other')], [0, 1]);
    assert.ok(outcomes('bad')[0] === 'failed' && !(await item(table, 'next')));
    assert.ok(story.every((line) => line.listener !== 'begins' || line.name !== 'next'));
  });

  test('FIFO: a message that always fails does not take its followers to the dead-letter queue', async () => {
    const { queueUrl, worker, send, begins, ends, outcomes } = await world();
    const deadLetters = await redrive(queueUrl, 2);
    await send('bad', { group: 'g', fails: true });
    await send('second', { group: 'g' });
    await send('third', { group: 'g' });
    worker();
    await until('its followers run', () => ends('second') === 1 && ends('third') === 1, 150);
    await until('it is a dead letter', async () => (await depth(deadLetters)).visible > 0);
    assert.deepEqual(await depth(deadLetters), { visible: 1, hidden: 0 });
    assert.equal(begins('bad'), 2);
    await until('all is told', () => outcomes('third').length > 0);
    assert.deepEqual([outcomes('second'), outcomes('third')], [['done'], ['done']]);
  });

  test('FIFO: messages of different groups run at the same time', async () => {
    const { worker, send, story, empty } = await world();
    const names = ['a', 'b', 'c', 'd'];
    for (const name of names) await send(name, { ms: 3_000 });
    worker();
    await empty();
    assert.deepEqual(story.filter((line) => line.listener).map((line) => line.listener), [...names.map(() => 'begins'), ...names.map(() => 'ends')]);
  });

  test('a queue that takes a renewal and says nothing does not end the lease', async () => {
    const { queueUrl, worker, send, begins, ends, table } = await world({ fifo: false });
    const proxy = await withoutDelete({ silent: '.ChangeMessageVisibility' });
    worker({ queueUrl: queueUrl.replace(process.env.SQS_URL, proxy.url) });
    await send('a', { ms: 6_000 });
    await until('the listener runs', () => begins('a') === 1);
    const { lease_until: first } = await item(table, 'a');
    await until('the lease is made longer', async () => (await item(table, 'a')).lease_until > first, 4);
    await until('the listener ends', () => ends('a') === 1);
  });

  test('a queue that cannot be asked is asked again', async () => {
    const { queueUrl, worker, send, ends, story } = await world();
    const proxy = await withoutDelete();
    const one = worker({ queueUrl: queueUrl.replace(process.env.SQS_URL, proxy.url) });
    await one.polls();
    proxy.breakDown();
    await until('it says so', () => story.some((line) => line.message === 'the queue could not be asked'));
    proxy.mend();
    await send('a');
    await until('the message is done', () => ends('a') === 1);
  });

  test('killed again and again at random moments: nothing is lost, and what is recorded as done never runs again', async () => {
    const { worker, send, begins, empty, table } = await world();
    const names = Array.from({ length: 24 }, (_, n) => `m${n}`);
    for (const name of names) await send(name, { ms: 50 + Math.random() * 400, group: `g${name.length}${name.at(-1)}` });
    // How often a listener had begun when a record said for the first time that it was done. Nobody is at work when it is read.
    const begunWhenDone = new Map();
    let kills = 0;
    // On a machine that is busy four kills may all come before a listener has ended.
    for (; kills < 4 || (begunWhenDone.size === 0 && kills < 20); kills += 1) {
      const next = worker();
      await next.polls();
      await sleep(300 + Math.random() * 600);
      await next.kill();
      for (const name of names) {
        if (!begunWhenDone.has(name) && (await item(table, name))?.state === 'done') begunWhenDone.set(name, begins(name));
      }
    }
    assert.ok(begunWhenDone.size > 0, 'no kill came after a record was done');
    worker();
    await empty();
    for (const name of names) assert.equal((await item(table, name)).state, 'done', name);
    for (const [name, begun] of begunWhenDone) {
      assert.ok(begun > 0, `${name} is recorded as done and never ran`);
      assert.equal(begins(name), begun, `${name} ran after it was recorded as done`);
    }
    const runs = names.reduce((sum, name) => sum + begins(name), 0);
    console.log(`Proven: ${names.length} messages, ${kills} kills, ${runs} runs of listeners; ${begunWhenDone.size} were recorded as done before a kill, and none of these ran again.`);
  });

  test('an app in ESM, one with Bolt\'s own receiver, one that exports its app by name', async () => {
    const options = '{ token: "xoxb-one", clientOptions: { slackApiUrl: process.env.SLACK_URL + "/api/" }';
    const body = 'app.event("app_mention", async ({ event }) => console.log(JSON.stringify({ listener: "ends", name: JSON.parse(event.text).name })));';
    const sources = [
      ['.mjs', `import { App } from '@slack/bolt'; import { SqsReceiver } from 'slack-ingress-bolt';
        const app = new App(${options}, receiver: new SqsReceiver() }); ${body} export default app;`],
      ['.cjs', `const { App } = require('@slack/bolt'); const app = new App(${options}, signingSecret: 's' }); ${body} module.exports = { app };`],
      ['.mjs', `import { App } from '@slack/bolt'; export const app = new App(${options}, signingSecret: 's' }); ${body}`],
    ];
    await Promise.all(sources.map(async ([extension, source]) => {
      const { worker, send, ends, empty, table } = await world();
      const one = worker({ file: appFile(source, extension) });
      await send('a');
      await empty();
      assert.equal(ends('a'), 1);
      assert.equal((await item(table, 'a')).state, 'done');
      assert.deepEqual(await one.kill('SIGTERM'), { code: 0, signal: null });
    }));
  });

  test('what is missing is said, with an exit code', async () => {
    const end = async (environment, file) => {
      const worker = startWorker({ slack, queueUrl: 'https://sqs.example.org/1/q', file, environment });
      return { ...(await worker.ended), errors: worker.errors };
    };
    const noRight = createServer((request, response) => {
      request.resume().on('end', () => response.writeHead(400, { 'content-type': 'application/x-amz-json-1.0' }).end(JSON.stringify({
        __type: 'com.amazon.coral.service#AccessDeniedException', message: 'User is not authorized to perform: sqs:receivemessage',
      })));
    });
    await new Promise((resolve) => noRight.listen(0, '127.0.0.1', resolve));
    proxies.push({ stop: () => { noRight.closeAllConnections(); noRight.close(); } });
    const noSuchQueue = `${process.env.SQS_URL}/000000000000/not-there.fifo`;
    const refused = `http://127.0.0.1:${noRight.address().port}/000000000000/events.fifo`;
    const [noQueue, noFile, noApp, notThere, denied] = await Promise.all([
      end({ BOLT_QUEUE_URL: '' }, appFile()),
      end({}, 'not-there.js'),
      end({}, appFile('module.exports = { something: 1 };')),
      end({ BOLT_QUEUE_URL: noSuchQueue }, appFile()),
      end({ BOLT_QUEUE_URL: refused }, appFile()),
    ]);
    assert.equal(noQueue.code, 2);
    assert.match(noQueue.errors, /usage: slack-ingress-bolt APP/);
    assert.equal(noFile.code, 1);
    assert.equal(noFile.errors, 'not-there.js is not there\n');
    assert.equal(noApp.code, 1);
    assert.match(noApp.errors, /exports no Bolt app/);
    // A worker that went on asking would look healthy and do nothing.
    assert.equal(notThere.code, 1);
    assert.ok(notThere.errors.includes(`the queue ${noSuchQueue} could not be asked: QueueDoesNotExist`), notThere.errors);
    assert.equal(denied.code, 1);
    assert.ok(denied.errors.includes(`the queue ${refused} could not be asked: AccessDeniedException`), denied.errors);
    assert.match(denied.errors, /not authorized to perform: sqs:receivemessage/);
  });
});

/** Gives a queue a dead-letter queue. */
async function redrive(queueUrl, maxReceiveCount) {
  const deadLetters = await createQueue();
  const { Attributes } = await sqs.send(new GetQueueAttributesCommand({ QueueUrl: deadLetters, AttributeNames: ['QueueArn'] }));
  const RedrivePolicy = JSON.stringify({ deadLetterTargetArn: Attributes.QueueArn, maxReceiveCount });
  await sqs.send(new SetQueueAttributesCommand({ QueueUrl: queueUrl, Attributes: { RedrivePolicy } }));
  return deadLetters;
}

/** Stands before the queue and refuses deletions, or everything once it is broken until it is mended, or takes some calls and says nothing. */
async function withoutDelete({ silent } = {}) {
  const proxy = { refused: 0 };
  let broken = false;
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    if (silent && request.headers['x-amz-target']?.endsWith(silent)) return;
    if (broken || (proxy.refused >= 0 && request.headers['x-amz-target']?.endsWith('.DeleteMessage') && !proxy.mended)) {
      proxy.refused += 1;
      response.writeHead(500).end();
      return;
    }
    const headers = Object.fromEntries(
      ['authorization', 'x-amz-date', 'x-amz-target', 'content-type'].map((name) => [name, request.headers[name]]),
    );
    const answer = await fetch(process.env.SQS_URL, { method: 'POST', headers, body: Buffer.concat(chunks) }).catch(() => undefined);
    if (answer === undefined) return request.socket.destroy();
    const body = Buffer.from(await answer.arrayBuffer());
    response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? '' }).end(body);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  proxy.url = `http://127.0.0.1:${server.address().port}`;
  proxy.breakDown = () => { broken = true; };
  proxy.mend = () => { broken = false; proxy.mended = true; };
  proxies.push(proxy);
  proxy.stop = () => { server.closeAllConnections(); server.close(); };
  return proxy;
}
