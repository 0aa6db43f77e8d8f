import { setTimeout as sleep } from 'node:timers/promises';

/** Waits for an effect, and never for a time. */
export async function until(what, condition, seconds = 60) {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`not within ${seconds} s: ${what}`);
    await sleep(30);
  }
}
