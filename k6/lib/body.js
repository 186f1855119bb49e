// Bodies of events, made once: made for each request they would cost the generator more than EVP
// spends on the events.

import { loses } from './config.js';

const ID = '@';

/** A run's own name, so that no id of it was sent before. */
export function runName() {
  return `k6-${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 10)}`;
}

/**
 * Makes bodies of `count` events of `type`: the same body for the same name, so that one can be sent
 * again. `filler` is added to each event, to make it larger.
 */
export function bodies(type, count, filler = '') {
  const events = Array.from({ length: count }, (_, index) => ({
    eventId: `${ID}-${index}`,
    eventType: type,
    userId: `user-${index}`,
    sessionId: `session-${index % 10}`,
    metadata: {
      path: `/products/${index}`,
      referrer: 'https://example.org/',
      browser: 'firefox',
      width: 1920,
      height: 1080,
      ms: index * 1.5,
      ...(filler && { filler }),
    },
  }));
  const pieces = (list) => JSON.stringify(list).split(ID);
  const [all, oneLess] = [pieces(events), pieces(events.slice(1))];
  return (run, iteration) => (loses(iteration) ? oneLess : all).join(`${run}-${iteration}`);
}
