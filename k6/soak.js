// A steady load for a long time: at its end answers are as fast as at its beginning, and nothing is lost.
//
//   make run                     # in one shell
//   DURATION=8h make k6-soak     # in another; RATE, BATCH too
//
// Nobody else may send events of the type k6_soak meanwhile.

import { check } from 'k6';
import exec from 'k6/execution';
import { bodies, runName } from './lib/body.js';
import { number, seconds } from './lib/config.js';
import { counted } from './lib/counters.js';
import { othersEnded, RECONCILED, reconciled, reconciling } from './lib/reconcile.js';
import { send } from './lib/send.js';

export { summary as handleSummary } from './lib/summary.js';

const EVENT_TYPE = 'k6_soak';
const RATE = number('RATE', 50);
const BATCH = number('BATCH', 100);
const DURATION_S = seconds('DURATION', '30m');
const body = bodies(EVENT_TYPE, BATCH);

export const options = {
  scenarios: {
    soak: {
      executor: 'constant-arrival-rate',
      rate: RATE,
      timeUnit: '1s',
      duration: `${DURATION_S}s`,
      preAllocatedVUs: 100,
      gracefulStop: '60s',
    },
    reconcile: reconciling(DURATION_S, 60),
  },
  thresholds: {
    ...RECONCILED,
    requests_refused: ['count==0'],
    'http_req_duration{part:first}': ['p(95)<250'],
    'http_req_duration{part:last}': ['p(95)<250'],
    dropped_iterations: ['count==0'],
  },
};

export function setup() {
  return { run: runName(), before: counted(EVENT_TYPE) };
}

/** The first and the last tenth are compared. */
function part(progress) {
  if (progress < 0.1) return 'first';
  return progress < 0.9 ? 'middle' : 'last';
}

export default function soak({ run }) {
  const tags = { part: part(exec.scenario.progress) };
  const { accepted } = send(body(run, exec.scenario.iterationInTest), tags);
  check(accepted, { 'all events are accepted': () => accepted === BATCH });
}

export function reconcile({ before }) {
  othersEnded(60);
  reconciled(EVENT_TYPE, before, exec.instance.iterationsCompleted * BATCH);
}
