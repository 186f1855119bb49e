// Sends a few events in every form and checks that exactly those are counted.
//
//   make run        # in one shell
//   make k6         # in another
//
// Nobody else may send events of the type k6_smoke meanwhile.

import { check, sleep } from 'k6';
import exec from 'k6/execution';
import http from 'k6/http';
import { BASE_URL, DURATION_S, RATE, WRITE_AUTH } from './lib/config.js';
import { counted } from './lib/counters.js';
import { EVENT_TYPE, eventsOf, request } from './lib/events.js';

const COUNTED_WITHIN_S = 15;
const POLL_S = 0.25;

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
    // Not a teardown: only a scenario is told how many iterations there were.
    reconcile: {
      executor: 'shared-iterations',
      exec: 'reconcile',
      startTime: `${DURATION_S + 1}s`,
      vus: 1,
      iterations: 1,
      maxDuration: '60s',
    },
  },
  thresholds: {
    http_req_failed: ['rate==0'],
    checks: ['rate==1'],
    // Else the generator, not the server, would set the rate.
    dropped_iterations: ['count==0'],
  },
};

export function setup() {
  const run = `k6-${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 10)}`;
  return { run, before: counted(EVENT_TYPE) };
}

export default function smoke({ run }) {
  const { form, count, contentType, body } = request(run, exec.scenario.iterationInTest);
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
  let added = 0;
  let expected = 0;
  for (let waited = 0; waited < COUNTED_WITHIN_S; waited += POLL_S) {
    added = counted(EVENT_TYPE) - before;
    expected = eventsOf(exec.instance.iterationsCompleted);
    const allAnswered = exec.instance.vusActive === 1;
    if (allAnswered && added >= expected) break;
    sleep(POLL_S);
  }
  console.log(`${expected} events sent, ${added} counted`);
  check(added, { 'exactly the accepted events are counted': () => added === expected });
}
