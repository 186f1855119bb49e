// More bytes at once than ingest holds (ingest.admission.in_flight_bytes): it refuses at once and says
// when to come back, clients do so, and everything is counted once.
//
//   make run          # in one shell
//   make k6-overload  # in another; CLIENTS, BATCH, DURATION from the environment
//
// Nobody else may send events of the type k6_overload meanwhile.

import { check } from 'k6';
import exec from 'k6/execution';
import { bodies, runName } from './lib/body.js';
import { number, seconds } from './lib/config.js';
import { counted } from './lib/counters.js';
import { othersEnded, RECONCILED, reconciled, reconciling } from './lib/reconcile.js';
import { send } from './lib/send.js';

export { summary as handleSummary } from './lib/summary.js';

const EVENT_TYPE = 'k6_overload';
// Bodies of 3.5 MB, below ingest.body.bytes (4 MiB): twenty of them are more than 64 MiB.
const CLIENTS = number('CLIENTS', 30);
const BATCH = number('BATCH', 350);
const EVENT_BYTES = 10_000;
const DURATION_S = seconds('DURATION', '30s');
const PATIENCE_S = 300;
const body = bodies(EVENT_TYPE, BATCH, 'x'.repeat(EVENT_BYTES));

export const options = {
  scenarios: {
    overload: {
      executor: 'constant-vus',
      vus: CLIENTS,
      duration: `${DURATION_S}s`,
      gracefulStop: `${PATIENCE_S}s`,
    },
    reconcile: reconciling(DURATION_S, PATIENCE_S),
  },
  thresholds: {
    ...RECONCILED,
    // Else it was none.
    requests_refused: ['count>0'],
  },
};

export function setup() {
  return { run: runName(), before: counted(EVENT_TYPE) };
}

export default function overload({ run }) {
  const { accepted, waitable } = send(body(run, exec.scenario.iterationInTest));
  check(accepted, {
    'all events are accepted in the end': () => accepted === BATCH,
    'a refusal says when to come back': () => waitable,
  });
}

export function reconcile({ before }) {
  othersEnded(PATIENCE_S);
  reconciled(EVENT_TYPE, before, exec.instance.iterationsCompleted * BATCH);
}
