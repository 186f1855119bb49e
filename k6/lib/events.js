// Events to send, and the forms in which POST /events takes them.

import { BATCH } from './config.js';

export const EVENT_TYPE = 'k6_smoke';

/** One event; its id is unique in this run. */
function event(run, iteration, index) {
  return {
    eventId: `${run}-${iteration}-${index}`,
    eventType: EVENT_TYPE,
    userId: `user-${iteration % 100}`,
    sessionId: `session-${iteration % 10}`,
    metadata: { iteration, index, page: '/checkout', price: 19.99 },
  };
}

function events(run, iteration, count) {
  return Array.from({ length: count }, (_, index) => event(run, iteration, index));
}

const FORMS = [
  {
    name: 'single',
    count: 1,
    contentType: 'application/json',
    body: (list) => JSON.stringify(list[0]),
  },
  {
    name: 'array',
    count: BATCH,
    contentType: 'application/json',
    body: (list) => JSON.stringify(list),
  },
  {
    name: 'ndjson',
    count: BATCH,
    contentType: 'application/x-ndjson',
    body: (list) => list.map((each) => JSON.stringify(each)).join('\n'),
  },
];

const formOf = (iteration) => FORMS[iteration % FORMS.length];

/** The request of one iteration; the forms take turns. */
export function request(run, iteration) {
  const form = formOf(iteration);
  return {
    form: form.name,
    count: form.count,
    contentType: form.contentType,
    body: form.body(events(run, iteration, form.count)),
  };
}

/** How many events the first so many iterations send. */
export function eventsOf(iterations) {
  let sum = 0;
  for (let iteration = 0; iteration < iterations; iteration += 1) {
    sum += formOf(iteration).count;
  }
  return sum;
}
