// Ten times the load within a second, and back: whatever is refused comes again and is counted, and
// afterwards answers are as fast as before.
//
//   make run        # in one shell
//   make k6-spike   # in another; RATE (before and after), PEAK, BATCH, DURATION from the environment
//
// Nobody else may send events of the type k6_spike meanwhile.

import { check } from 'k6';
import exec from 'k6/execution';
import { bodies, runName } from './lib/body.js';
import { number, seconds } from './lib/config.js';
import { counted } from './lib/counters.js';
import { othersEnded, RECONCILED, reconciled, reconciling } from './lib/reconcile.js';
import { send } from './lib/send.js';

export { summary as handleSummary } from './lib/summary.js';

const EVENT_TYPE = 'k6_spike';
const RATE = number('RATE', 50);
const PEAK = number('PEAK', 10 * RATE);
const BATCH = number('BATCH', 100);
const DURATION_S = seconds('DURATION', '60s');
const PATIENCE_S = 120;
const body = bodies(EVENT_TYPE, BATCH);

/** Shares of the duration: a third before, the spike, and from the last third on it should be over. */
const [BEFORE, SPIKE, AFTER] = [1 / 3, 1 / 6, 1 / 2];
const part = (progress) => {
  if (progress < BEFORE) return 'before';
  return progress < BEFORE + SPIKE + AFTER / 3 ? 'spike' : 'after';
};
const share = (of) => `${Math.max(1, Math.round(of * DURATION_S))}s`;

export const options = {
  scenarios: {
    spike: {
      executor: 'ramping-arrival-rate',
      startRate: RATE,
      timeUnit: '1s',
      preAllocatedVUs: 200,
      gracefulStop: `${PATIENCE_S}s`,
      stages: [
        { duration: share(BEFORE), target: RATE },
        { duration: '1s', target: PEAK },
        { duration: share(SPIKE), target: PEAK },
        { duration: '1s', target: RATE },
        { duration: share(AFTER), target: RATE },
      ],
    },
    reconcile: reconciling(DURATION_S + 4, PATIENCE_S),
  },
  // Iterations may be dropped: what was not sent is not missed.
  thresholds: {
    ...RECONCILED,
    'http_req_duration{part:before}': ['p(95)<250'],
    'http_req_duration{part:spike}': [],
    'http_req_duration{part:after}': ['p(95)<250'],
  },
};

export function setup() {
  return { run: runName(), before: counted(EVENT_TYPE) };
}

export default function spike({ run }) {
  const tags = { part: part(exec.scenario.progress) };
  const { accepted } = send(body(run, exec.scenario.iterationInTest), tags);
  check(accepted, { 'all events are accepted': () => accepted === BATCH });
}

export function reconcile({ before }) {
  othersEnded(PATIENCE_S);
  reconciled(EVENT_TYPE, before, exec.instance.iterationsCompleted * BATCH);
}
