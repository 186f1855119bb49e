// 50,000 events/s in requests of 100, at a constant arrival rate, and nothing of it lost.
//
//   make run        # in one shell
//   make k6-load    # in another; RATE, BATCH, DURATION from the environment
//
// The body is made once: ids made here would cost the generator more than EVP spends on the
// events. Without an eventId each event is a new one. Nobody else may send events of the type
// k6_load meanwhile.

import { check, sleep } from 'k6';
import exec from 'k6/execution';
import http from 'k6/http';
import { Counter } from 'k6/metrics';
import { BASE_URL, seconds, WRITE_AUTH } from './lib/config.js';
import { counted } from './lib/counters.js';

const EVENT_TYPE = 'k6_load';
const RATE = Number(__ENV.RATE || 500); // requests per second
const BATCH = Number(__ENV.BATCH || 100); // events in a request
const DURATION_S = seconds(__ENV.DURATION || '30s');
const COUNTED_WITHIN_S = 30;
const POLL_S = 0.25;

const accepted = new Counter('events_accepted');

const BODY = JSON.stringify(
  Array.from({ length: BATCH }, (_, index) => ({
    eventType: EVENT_TYPE,
    userId: `user-${index}`,
    sessionId: `session-${index % 10}`,
    metadata: {
      path: `/products/${index}`,
      referrer: 'https://example.org/',
      browser: 'firefox',
      width: 1920,
      height: 1080,
      ms: index * 1.5,
    },
  })),
);

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
    // Not a teardown: only a scenario is told how many iterations there were.
    reconcile: {
      executor: 'shared-iterations',
      exec: 'reconcile',
      startTime: `${DURATION_S + 1}s`,
      vus: 1,
      iterations: 1,
      maxDuration: '90s',
    },
  },
  thresholds: {
    http_req_failed: ['rate==0'],
    'http_req_duration{scenario:load}': ['p(99)<100'],
    checks: ['rate==1'],
    // Else the generator, not the server, would set the rate.
    dropped_iterations: ['count==0'],
  },
};

export function setup() {
  return { before: counted(EVENT_TYPE) };
}

export default function load() {
  const response = http.post(`${BASE_URL}/events?ids=none`, BODY, {
    headers: { 'content-type': 'application/json', ...WRITE_AUTH },
  });
  const taken = response.status === 202 ? response.json('accepted') : 0;
  accepted.add(taken);
  check(response, { 'all events are accepted': () => taken === BATCH });
}

export function reconcile({ before }) {
  let added = 0;
  let expected = 0;
  for (let waited = 0; waited < COUNTED_WITHIN_S; waited += POLL_S) {
    added = counted(EVENT_TYPE) - before;
    expected = exec.instance.iterationsCompleted * BATCH;
    if (exec.instance.vusActive === 1 && added >= expected) break;
    sleep(POLL_S);
  }
  console.log(`${expected} events sent, ${added} counted`);
  check(added, { 'exactly the accepted events are counted': () => added === expected });
}
