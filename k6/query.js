// People look while events come in: every kind of query at a constant rate, each within its limit.
//
//   make run        # in one shell
//   make k6-query   # in another; RATE (of queries), BATCH, DURATION from the environment
//
// Nobody else may send events of the type k6_query meanwhile.

import { check } from 'k6';
import exec from 'k6/execution';
import http from 'k6/http';
import { Counter } from 'k6/metrics';
import { bodies, runName } from './lib/body.js';
import { ADMIN_AUTH, AGGREGATOR_URL, number, seconds } from './lib/config.js';
import { counted } from './lib/counters.js';
import { othersEnded, RECONCILED, reconciled, reconciling, stored } from './lib/reconcile.js';
import { send } from './lib/send.js';

export { summary as handleSummary } from './lib/summary.js';

const EVENT_TYPE = 'k6_query';
const RATE = number('RATE', 40);
const BATCH = number('BATCH', 100);
const DURATION_S = seconds('DURATION', '30s');
/** Asked after each request that sends events. */
const QUERIES_EACH = 2;
const body = bodies(EVENT_TYPE, BATCH);
const queries = new Counter('queries');

/** Name, path, and milliseconds within which 95 % of them are answered. */
const QUERIES = [
  ['last minute', '/metrics', 200],
  ['totals', '/metrics?window=all', 200],
  ['series', '/metrics/series?window=15m&step=minute', 300],
  ['analytics', '/analytics?range=1h', 500],
  ['newest', '/events?limit=50', 500],
  ['of a type', `/events?type=${EVENT_TYPE}&limit=50`, 500],
  ['of a user', '/events?userId=user-7&from=-1h&limit=50', 500],
  ['by id', null, 300],
];

export const options = {
  scenarios: {
    query: {
      executor: 'constant-arrival-rate',
      rate: Math.max(1, Math.round(RATE / QUERIES_EACH)),
      timeUnit: '1s',
      duration: `${DURATION_S}s`,
      preAllocatedVUs: 50,
      gracefulStop: '30s',
    },
    reconcile: reconciling(DURATION_S),
  },
  thresholds: {
    ...RECONCILED,
    http_req_failed: ['rate==0'],
    dropped_iterations: ['count==0'],
    queries: ['count>0'],
    ...Object.fromEntries(
      QUERIES.map(([name, , ms]) => [`http_req_duration{query:${name}}`, [`p(95)<${ms}`]]),
    ),
  },
};

export function setup() {
  const run = runName();
  const before = counted(EVENT_TYPE);
  // Something to find by its id. The first iteration sends it again, which changes nothing.
  send(body(run, 0));
  stored(EVENT_TYPE, before + BATCH);
  return { run, before };
}

export default function query({ run }) {
  const iteration = exec.scenario.iterationInTest;
  const { accepted } = send(body(run, iteration), { query: 'none' });
  check(accepted, { 'all events are accepted': () => accepted === BATCH });
  for (let nth = 0; nth < QUERIES_EACH; nth += 1) {
    ask(QUERIES[(iteration * QUERIES_EACH + nth) % QUERIES.length], `${run}-0-0`);
  }
}

function ask([query, path], id) {
  const response = http.get(`${AGGREGATOR_URL}${path || `/events/${id}`}`, {
    headers: ADMIN_AUTH,
    // One name for all: else each path would be a metric of its own.
    tags: { query, name: query },
  });
  queries.add(1);
  check(response, { 'a query is answered': ({ status }) => status === 200 }, { query });
}

export function reconcile({ before }) {
  othersEnded();
  reconciled(EVENT_TYPE, before, exec.instance.iterationsCompleted * BATCH);
}
