// What every script reads from the environment, with the addresses of `make run` as defaults. `make k6`
// also passes the keys of `AUTH=keys make run`.

const withoutSlash = (url) => url.replace(/\/+$/, '');

export const BASE_URL = withoutSlash(__ENV.BASE_URL || 'http://127.0.0.1:8080');
export const AGGREGATOR_URL = withoutSlash(__ENV.AGGREGATOR_URL || 'http://127.0.0.1:8090');
/** Shown by whoever sends events, where keys are asked for. */
export const WRITE_AUTH = shown(__ENV.EVP_WRITE_KEY);
/** Shown by whoever asks the aggregator. */
export const ADMIN_AUTH = shown(__ENV.EVP_ADMIN_KEY);

function shown(key) {
  return key ? { authorization: `Bearer ${key}` } : {};
}

/** A number from the environment: RATE is requests per second, BATCH events in one of them. */
export function number(name, fallback) {
  const value = Number(__ENV[name] || fallback);
  if (!(value > 0)) throw new Error(`${name} is ${__ENV[name]}; write a number above 0`);
  return value;
}

/** Seconds of a duration from the environment, such as 30s or 2m. */
export function seconds(name, fallback) {
  const text = __ENV[name] || fallback;
  const [, count, unit] = /^(\d+)(s|m|h)$/.exec(text) || [];
  if (!(count > 0)) throw new Error(`${name} is ${text}; write it like 30s, 2m or 1h`);
  return Number(count) * { s: 1, m: 60, h: 3600 }[unit];
}

/**
 * Whether this request leaves out an event that the script says it sent. With LOSE=1 one does, and a
 * script that ends well all the same would notice no loss.
 */
export function loses(iteration) {
  return Boolean(__ENV.LOSE) && iteration === 1;
}
