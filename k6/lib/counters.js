// What the aggregator has counted: a load test that does not look at the sink proves nothing.

import { fail } from 'k6';
import http from 'k6/http';
import { ADMIN_AUTH, AGGREGATOR_URL } from './config.js';

/** All events of `type` that were ever counted. */
export function counted(type) {
  const response = http.get(`${AGGREGATOR_URL}/metrics?window=all`, { headers: ADMIN_AUTH });
  if (response.status !== 200) {
    fail(`the aggregator answers ${response.status} at ${AGGREGATOR_URL}: is make run up?`);
  }
  const ofType = response.json().totals.byType.find(({ _id }) => _id === type);
  return ofType ? ofType.count : 0;
}
