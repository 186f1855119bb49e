// How much is too much: the rate grows by a quarter every STEP until answers take too long or are
// refused. It ends well when that much, whatever it is, was counted.
//
//   make run        # in one shell
//   make k6-stress  # in another; RATE (the first), STEP, LIMIT_MS, BATCH, DURATION from the environment
//
// One virtual user sends for all, at the times it should and without waiting for answers, because
// k6's users share nothing: it alone knows what was sent, and when to stop. Nobody else may send events
// of the type k6_stress meanwhile.

import { check } from 'k6';
import http from 'k6/http';
import { Gauge } from 'k6/metrics';
import { setTimeout } from 'k6/timers';
import { bodies, runName } from './lib/body.js';
import { number, seconds } from './lib/config.js';
import { counted } from './lib/counters.js';
import { RECONCILED, reconciled } from './lib/reconcile.js';
import { params, send, URL } from './lib/send.js';

export { summary as handleSummary } from './lib/summary.js';

const EVENT_TYPE = 'k6_stress';
const RATE = number('RATE', 50);
const GROWTH = 1.25;
const BATCH = number('BATCH', 100);
const STEP_S = seconds('STEP', '5s');
const LIMIT_MS = number('LIMIT_MS', 250);
/** It is over then at the latest, broken or not. */
const DURATION_S = seconds('DURATION', '10m');
const TICK_MS = 5;
/** More without an answer is too much, too. */
const UNANSWERED_MAX = 1000;

const held = new Gauge('events_per_second_held');
const body = bodies(EVENT_TYPE, BATCH);

export const options = {
  scenarios: {
    stress: {
      executor: 'shared-iterations',
      vus: 1,
      iterations: 1,
      maxDuration: `${DURATION_S + 300}s`,
    },
  },
  thresholds: { ...RECONCILED, events_per_second_held: ['value>0'] },
};

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** All that was sent, and what was not taken of it. */
class Sender {
  constructor(run) {
    this.run = run;
    this.sent = 0;
    this.unanswered = 0;
    this.refused = [];
    this.times = [];
  }

  async post() {
    const iteration = this.sent;
    this.sent += 1;
    this.unanswered += 1;
    const response = await http.asyncRequest('POST', URL, body(this.run, iteration), params());
    this.unanswered -= 1;
    this.times.push(response.timings.duration);
    if (response.status !== 202) this.refused.push(iteration);
  }

  /** Sends so many requests a second for one step; says what broke, if anything did. */
  async step(rate) {
    this.times = [];
    const start = Date.now();
    let begun = 0;
    for (let past = 0; past < STEP_S * 1000; past = Date.now() - start) {
      for (; begun < (past * rate) / 1000; begun += 1) this.post();
      if (this.refused.length > 0) return 'a request was refused';
      if (this.unanswered > UNANSWERED_MAX) return `${UNANSWERED_MAX} requests had no answer`;
      await pause(TICK_MS);
    }
    const sorted = this.times.sort((a, b) => a - b);
    const p95 = sorted[Math.floor(sorted.length * 0.95)];
    console.log(`${Math.round(rate * BATCH)} events/s: p95 ${p95 && p95.toFixed(1)} ms`);
    return p95 < LIMIT_MS ? null : `the p95 was above ${LIMIT_MS} ms`;
  }

  /** Waits for all answers, and sends again what was refused. */
  async settle() {
    while (this.unanswered > 0) await pause(TICK_MS);
    for (const iteration of this.refused) {
      const { accepted } = send(body(this.run, iteration));
      check(accepted, { 'all events are accepted in the end': () => accepted === BATCH });
    }
  }
}

export default async function stress() {
  const before = counted(EVENT_TYPE);
  const sender = new Sender(runName());
  const end = Date.now() + DURATION_S * 1000;
  let broken = null;
  for (let rate = RATE; !broken && Date.now() < end; rate *= GROWTH) {
    broken = await sender.step(rate);
    if (broken) console.log(`${Math.round(rate * BATCH)} events/s broke it: ${broken}`);
    else held.add(Math.round(rate * BATCH));
  }
  if (!broken) console.log('nothing broke it in that time');
  await sender.settle();
  reconciled(EVENT_TYPE, before, sender.sent * BATCH);
}
