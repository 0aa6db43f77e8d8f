import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SlackIngressBoltError, SqsReceiver } from './support/consumer.mjs';

/** Makes a receiver under some environment variables. */
function receiver(environment, options = {}) {
  const before = { ...process.env };
  Object.assign(process.env, environment);
  try {
    const lines = [];
    return { made: new SqsReceiver({ writeLog: (line) => lines.push(JSON.parse(line)), ...options }), lines };
  } finally {
    for (const name of Object.keys(environment)) delete process.env[name];
    Object.assign(process.env, before);
  }
}

for (const [environment, options, problem] of [
  [{ BOLT_METRICS: 'no' }, {}, /BOLT_METRICS/],
  [{ BOLT_CONCURRENCY: '0' }, {}, /BOLT_CONCURRENCY/],
  [{ BOLT_CONCURRENCY: 'many' }, {}, /BOLT_CONCURRENCY/],
  [{ BOLT_LEASE_SECONDS: '2' }, {}, /BOLT_LEASE_SECONDS.*3 to 36000/],
  [{}, { concurrency: 1.5 }, /concurrency/],
  [{}, { leaseSeconds: 50_000 }, /leaseSeconds/],
]) {
  test(`refused: ${JSON.stringify({ ...environment, ...options })}`, () => {
    assert.throws(() => receiver(environment, options), (error) => error instanceof SlackIngressBoltError && problem.test(error.message));
  });
}

test('the table comes from BOLT_TABLE; an empty variable is none', () => {
  assert.equal(receiver({ BOLT_TABLE: 'events' }).lines.length, 0);
  assert.equal(receiver({ BOLT_TABLE: '' }).lines.length, 1);
  assert.equal(receiver({}, { table: 'events' }).lines.length, 0);
});
