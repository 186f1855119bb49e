// Events to send, and the forms in which POST /events takes them.

import { loses } from './config.js';

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
  const list = Array.from({ length: count }, (_, index) => event(run, iteration, index));
  return loses(iteration) ? list.slice(1) : list;
}

const FORMS = [
  {
    name: 'single',
    isSingle: true,
    contentType: 'application/json',
    body: (list) => JSON.stringify(list[0]),
  },
  {
    name: 'array',
    contentType: 'application/json',
    body: (list) => JSON.stringify(list),
  },
  {
    name: 'ndjson',
    contentType: 'application/x-ndjson',
    body: (list) => list.map((each) => JSON.stringify(each)).join('\n'),
  },
];

const formOf = (iteration) => FORMS[iteration % FORMS.length];
const countOf = ({ isSingle }, batch) => (isSingle ? 1 : batch);

/** The request of one iteration; the forms take turns. */
export function request(run, iteration, batch) {
  const form = formOf(iteration);
  const count = countOf(form, batch);
  return {
    form: form.name,
    count,
    contentType: form.contentType,
    body: form.body(events(run, iteration, count)),
  };
}

/** How many events the first so many iterations send. */
export function eventsOf(iterations, batch) {
  let sum = 0;
  for (let iteration = 0; iteration < iterations; iteration += 1) {
    sum += countOf(formOf(iteration), batch);
  }
  return sum;
}
