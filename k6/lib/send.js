// Sending as docs/API.md asks it of clients: what was refused comes again after Retry-After, under the
// same ids, until it is taken.

import { sleep } from 'k6';
import http from 'k6/http';
import { Counter } from 'k6/metrics';
import { BASE_URL, WRITE_AUTH } from './config.js';

const TRIES = 30;
const PAUSE_S = 1;
const PAUSE_MAX_S = 10;

/** Answers 503 and 429, and no answers at all. */
export const refusals = new Counter('requests_refused');

export const URL = `${BASE_URL}/events?ids=none`;

export function params(tags = {}) {
  return {
    headers: { 'content-type': 'application/json', ...WRITE_AUTH },
    tags,
    responseCallback: http.expectedStatuses(202, 429, 503),
  };
}

/** Sends until it is taken: `{ accepted, waitable }`, the latter false if a refusal did not say when. */
export function send(body, tags) {
  let waitable = true;
  for (let tries = 0; tries < TRIES; tries += 1) {
    const response = http.post(URL, body, params(tags));
    if (response.status === 202) return { accepted: response.json('accepted'), waitable };
    refusals.add(1, { status: `${response.status}` });
    const after = Number(response.headers['Retry-After']);
    // A connection that was cut has no answer; a refusal has one that says when to come back.
    if (response.status !== 0 && !(after > 0)) waitable = false;
    sleep(Math.min(after || PAUSE_S, PAUSE_MAX_S) * (0.5 + Math.random()));
  }
  return { accepted: 0, waitable };
}
