// 50,000 events/s in requests of 100, at a constant arrival rate, and nothing of it lost.
//
//   make run        # in one shell
//   make k6-load    # in another; RATE, BATCH, DURATION from the environment
//
// Nobody else may send events of the type k6_load meanwhile.

import { check } from 'k6';
import exec from 'k6/execution';
import http from 'k6/http';
import { bodies, runName } from './lib/body.js';
import { number, seconds } from './lib/config.js';
import { counted } from './lib/counters.js';
import { othersEnded, RECONCILED, reconciled, reconciling } from './lib/reconcile.js';
import { params, URL } from './lib/send.js';

export { summary as handleSummary } from './lib/summary.js';

const EVENT_TYPE = 'k6_load';
const RATE = number('RATE', 500);
const BATCH = number('BATCH', 100);
const DURATION_S = seconds('DURATION', '30s');
const body = bodies(EVENT_TYPE, BATCH);

export const options = {
  scenarios: {
    load: {
      executor: 'constant-arrival-rate',
      rate: RATE,
      timeUnit: '1s',
      duration: `${DURATION_S}s`,
      preAllocatedVUs: 100,
      // An iteration that is cut off would have sent an unknown number of events.
      gracefulStop: '30s',
    },
    reconcile: reconciling(DURATION_S),
  },
  thresholds: {
    ...RECONCILED,
    http_req_failed: ['rate==0'],
    'http_req_duration{scenario:load}': ['p(99)<100'],
    // Else the generator, not the server, would set the rate.
    dropped_iterations: ['count==0'],
  },
};

export function setup() {
  return { run: runName(), before: counted(EVENT_TYPE) };
}

export default function load({ run }) {
  const response = http.post(URL, body(run, exec.scenario.iterationInTest), params());
  const taken = response.status === 202 ? response.json('accepted') : 0;
  check(response, { 'all events are accepted': () => taken === BATCH });
}

export function reconcile({ before }) {
  othersEnded();
  reconciled(EVENT_TYPE, before, exec.instance.iterationsCompleted * BATCH);
}
