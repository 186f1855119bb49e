// Sends a few events in every form and checks that exactly those are counted.
//
//   make run        # in one shell
//   make k6         # in another; RATE, BATCH, DURATION from the environment
//
// Nobody else may send events of the type k6_smoke meanwhile.

import { check } from 'k6';
import exec from 'k6/execution';
import http from 'k6/http';
import { runName } from './lib/body.js';
import { BASE_URL, number, seconds, WRITE_AUTH } from './lib/config.js';
import { counted } from './lib/counters.js';
import { EVENT_TYPE, eventsOf, request } from './lib/events.js';
import { othersEnded, RECONCILED, reconciled, reconciling } from './lib/reconcile.js';

export { summary as handleSummary } from './lib/summary.js';

const RATE = number('RATE', 20);
const BATCH = number('BATCH', 10);
const DURATION_S = seconds('DURATION', '10s');

export const options = {
  scenarios: {
    smoke: {
      executor: 'constant-arrival-rate',
      rate: RATE,
      timeUnit: '1s',
      duration: `${DURATION_S}s`,
      preAllocatedVUs: 20,
      // An iteration that is cut off would have sent an unknown number of events.
      gracefulStop: '30s',
    },
    reconcile: reconciling(DURATION_S),
  },
  thresholds: {
    ...RECONCILED,
    http_req_failed: ['rate==0'],
    // Else the generator, not the server, would set the rate.
    dropped_iterations: ['count==0'],
  },
};

export function setup() {
  return { run: runName(), before: counted(EVENT_TYPE) };
}

export default function smoke({ run }) {
  const { form, count, contentType, body } = request(run, exec.scenario.iterationInTest, BATCH);
  const response = http.post(`${BASE_URL}/events`, body, {
    headers: { 'content-type': contentType, ...WRITE_AUTH },
    tags: { form },
  });
  const answer = response.status === 202 ? response.json() : {};
  check(response, {
    'answer is 202': ({ status }) => status === 202,
    'all events are accepted': () => answer.accepted === count,
    'none is rejected': () => Array.isArray(answer.rejected) && answer.rejected.length === 0,
    'each event has its id': () => Array.isArray(answer.ids) && answer.ids.length === count,
  });
}

export function reconcile({ before }) {
  othersEnded();
  reconciled(EVENT_TYPE, before, eventsOf(exec.instance.iterationsCompleted, BATCH));
}
