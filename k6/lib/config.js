// What every script reads from the environment, with the addresses of `make run` as defaults. `make k6`
// also passes the keys of `AUTH=keys make run`.

const withoutSlash = (url) => url.replace(/\/+$/, '');

export const BASE_URL = withoutSlash(__ENV.BASE_URL || 'http://127.0.0.1:8080');
export const AGGREGATOR_URL = withoutSlash(__ENV.AGGREGATOR_URL || 'http://127.0.0.1:8090');
/** Shown by whoever sends events, where keys are asked for. */
export const WRITE_AUTH = shown(__ENV.EVP_WRITE_KEY);
/** Shown by whoever asks the aggregator. */
export const ADMIN_AUTH = shown(__ENV.EVP_ADMIN_KEY);
export const RATE = Number(__ENV.RATE || 20); // requests per second
export const DURATION_S = seconds(__ENV.DURATION || '10s');
export const BATCH = Number(__ENV.BATCH || 10); // events in one array or NDJSON request

function shown(key) {
  return key ? { authorization: `Bearer ${key}` } : {};
}

/** Seconds of a duration such as 30s or 2m. */
export function seconds(text) {
  const [, number, unit] = /^(\d+)(s|m)$/.exec(text) || [];
  if (!number) throw new Error(`DURATION is ${text}; write it like 30s or 2m`);
  return Number(number) * (unit === 'm' ? 60 : 1);
}
