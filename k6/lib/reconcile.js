// The end of every script: what was sent is counted, no more and no less.

import { check, sleep } from 'k6';
import exec from 'k6/execution';
import { Gauge } from 'k6/metrics';
import { seconds } from './config.js';
import { reading, storedThrough } from './counters.js';

const POLL_S = 0.25;
const COUNTED_WITHIN_S = seconds('COUNTED_WITHIN', '60s');

// For the summary.
const sentEvents = new Gauge('events_sent');
const countedEvents = new Gauge('events_counted');

/**
 * The scenario that does it, once the others have their duration behind them: not a teardown, as only a
 * scenario is told how many iterations there were. What was begun may take the patience.
 */
export function reconciling(durationS, patienceS = 30) {
  return {
    executor: 'shared-iterations',
    exec: 'reconcile',
    startTime: `${durationS + 1}s`,
    vus: 1,
    iterations: 1,
    maxDuration: `${patienceS + COUNTED_WITHIN_S + 30}s`,
  };
}

/** Thresholds without which no script ends well. */
export const RECONCILED = { checks: ['rate==1'], events_counted: ['value>0'] };

/** Waits until all other iterations have ended, at most so long. */
export function othersEnded(patienceS = 30) {
  for (let waited = 0; exec.instance.vusActive > 1 && waited < patienceS; waited += POLL_S) {
    sleep(POLL_S);
  }
}

/**
 * Waits until so many events of `type` are counted, or all that was accepted is: then the rest is lost. Says how
 * many are counted.
 */
export function stored(type, expected) {
  const deadline = Date.now() + COUNTED_WITHIN_S * 1000;
  let now = reading(type);
  const missing = () => now.count < expected && Date.now() < deadline;
  const waitWhile = (holds) => {
    while (missing() && holds()) {
      sleep(POLL_S);
      now = reading(type);
    }
  };
  const readAnew = () => {
    const { asOf } = now;
    waitWhile(() => now.asOf === asOf);
  };
  // The first answer may be from before the end of the load, and the one beside `storedThrough` older than that.
  readAnew();
  const end = now.asOf;
  waitWhile(() => !(storedThrough() > end));
  readAnew();
  return now.count;
}

/** Compares what was sent of `type` with what is counted of it, beyond the `before` of setup. */
export function reconciled(type, before, sent) {
  const added = stored(type, before + sent) - before;
  sentEvents.add(sent);
  countedEvents.add(added);
  console.log(`${sent} sent, ${added} counted`);
  check(added, { 'exactly the sent events are counted': () => added === sent });
}
