/** Longer than the aggregator's own time limit, so that its answer says why. */
const TIMEOUT_MS = 20_000;

/** Told to the window when the aggregator does not know who asks: the page asks it who that is. */
export const SIGNED_OUT = "evp-signed-out";

/** An answer that is a problem (RFC 9457), or no answer at all (`status` 0). */
export class ApiError extends Error {
  readonly status: number;
  /** What was asked for. */
  readonly url: string;
  readonly code: string;
  readonly retryable: boolean;
  readonly problem: Readonly<Record<string, unknown>>;

  constructor(status: number, problem: Record<string, unknown>, url = "") {
    super(text(problem.detail) ?? text(problem.title) ?? `the aggregator answered ${status}`);
    this.name = "ApiError";
    this.status = status;
    this.url = url;
    this.code = text(problem.code) ?? (status === 0 ? "unreachable" : `status_${status}`);
    this.retryable = problem.retryable === true || status === 0 || status >= 500;
    this.problem = problem;
  }
}

/** Parameters of a query: absent and empty ones are left out, lists are repeated. */
export type Params = Record<string, string | number | readonly string[] | null | undefined>;

export function withParams(path: string, params: Params = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value === undefined || value === null || value === "") continue;
    for (const each of Array.isArray(value) ? value : [value]) search.append(name, String(each));
  }
  const query = search.toString();
  return query === "" ? path : `${path}?${query}`;
}

/** How a body becomes a value. */
type Parse = (text: string) => unknown;

export function get<T>(
  path: string,
  params?: Params,
  signal?: AbortSignal,
  parse?: Parse,
): Promise<T> {
  // Who asks again wants to know what is new, not what the browser has kept.
  const init: RequestInit = { cache: "no-cache", signal: bounded(signal) };
  return request<T>(withParams(path, params), init, parse);
}

/** A replay waits for the processor, half a minute at most. */
const ACTION_TIMEOUT_MS = 45_000;

export function post<T>(url: string, body: unknown, init: RequestInit = {}): Promise<T> {
  return send<T>("POST", url, body, init);
}

type Method = "POST" | "PUT" | "PATCH" | "DELETE";

export function send<T>(
  method: Method,
  url: string,
  body: unknown,
  { headers, ...init }: RequestInit = {},
): Promise<T> {
  return request<T>(url, {
    method,
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(ACTION_TIMEOUT_MS),
    ...init,
  });
}

const NO_CONTENT = 204;

async function request<T>(url: string, init: RequestInit, parse: Parse = JSON.parse): Promise<T> {
  const response = await open(url, init);
  if (response.status === NO_CONTENT) return undefined as T;
  const body = await response
    .text()
    .then(parse)
    .catch(() => null);
  if (body === null) throw new ApiError(response.status, { title: "the answer is not JSON" }, url);
  return body as T;
}

/** An answer whose body is still to be read, or an `ApiError`. */
export async function open(url: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, init);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(0, { title: unreachable(url) }, url);
  }
  if (response.ok) return response;
  if (response.status === 401 && tellsOfSession(url)) window.dispatchEvent(new Event(SIGNED_OUT));
  const problem = await response.json().catch(() => null);
  throw new ApiError(response.status, isRecord(problem) ? problem : {}, url);
}

/** Not ingest, which takes keys only, and not what somebody without a session asks. */
function tellsOfSession(url: string): boolean {
  return url.startsWith("/") && !url.startsWith("/sign-in") && url !== "/session";
}

function unreachable(url: string): string {
  const origin = URL.canParse(url) ? new URL(url).origin : "the aggregator";
  return `${origin} does not answer`;
}

function bounded(signal?: AbortSignal): AbortSignal {
  const limit = AbortSignal.timeout(TIMEOUT_MS);
  return signal ? AbortSignal.any([signal, limit]) : limit;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}
