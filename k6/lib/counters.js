// What the aggregator has counted: a load test that does not look at the sink proves nothing.

import { fail } from 'k6';
import http from 'k6/http';
import { ADMIN_AUTH, AGGREGATOR_URL } from './config.js';

/** All events of `type` that were ever counted. */
export function counted(type) {
  return reading(type).count;
}

/** The same, with when that was read, Unix ms: an answer comes from memory for a second. */
export function reading(type) {
  const response = http.get(`${AGGREGATOR_URL}/metrics?window=all`, { headers: ADMIN_AUTH });
  if (response.status !== 200) {
    fail(`the aggregator answers ${response.status} at ${AGGREGATOR_URL}: is make run up?`);
  }
  const { asOf, totals } = response.json();
  const ofType = totals.byType.find(({ _id }) => _id === type);
  return { count: ofType ? ofType.count : 0, asOf: Date.parse(asOf) };
}

/** Unix ms before which everything accepted is counted, or a dead letter: it is told with what nobody sent. */
export function storedThrough() {
  const time = Date.now().toString(16).padStart(12, '0');
  const nobodys = `${time.slice(0, 8)}-${time.slice(8)}-8000-8000-000000000000`;
  const answer = http.get(`${AGGREGATOR_URL}/events/${nobodys}`, {
    headers: ADMIN_AUTH,
    responseCallback: http.expectedStatuses(404),
  });
  return Date.parse(answer.json('storedThrough'));
}
