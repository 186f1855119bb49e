/** Why something was refused, and what to do about it, for people. */
export interface Reason {
  /** What was refused: one event, whose neighbours are stored, or all of a request. */
  what: "event" | "request";
  why: string;
  todo: string;
}

type Rows = Record<string, readonly [why: string, todo: string]>;

const CODE = "Mend the code that makes the event.";
const CLIENT = "Mend the client that sends it.";
const AGAIN =
  "Nothing: clients send it again after Retry-After. If it goes on, tell whoever runs EVP.";

const REQUESTS: Rows = {
  rate_limited: [
    "More came in a second than the key, or all keys of the tenant together, may send.",
    "Send evenly and wait for Retry-After, or ask an operator for a higher limit.",
  ],
  quota_exceeded: [
    "The tenant has sent what it may in this UTC day.",
    "Wait for midnight UTC, or ask an operator for a larger quota.",
  ],
  overloaded: [
    "EVP had more than it could take, and this tenant sent more than its even share of it.",
    AGAIN,
  ],
  storage_full: ["The disk of the event store is almost full.", "Tell whoever runs EVP."],
  not_accepted: ["EVP could not take it at that moment.", AGAIN],
  not_confirmed: [
    "EVP could not say whether it was stored.",
    "Nothing, where clients send it again with the same eventIds: it is stored once.",
  ],
  shutting_down: ["EVP was stopping.", AGAIN],
  access_unknown: ["EVP did not know the keys yet.", AGAIN],
  scope_missing: [
    "The key that was shown does not send events.",
    "Send with a key of the scope write.",
  ],
  origin_not_allowed: [
    "A page of another origin used the key.",
    "Make a key with this origin in it. If you do not know the page, somebody took the key: rotate it.",
  ],
  tenant_disabled: ["An operator disabled the tenant.", "Ask an operator to enable it."],
  key_expired: ["The key had ended.", "Make another key, and send with that."],
  key_revoked: [
    "The key was revoked, or another one has replaced it.",
    "Find what still sends with the old key, and give it the new one.",
  ],
  all_events_rejected: [
    "No event of the request was good.",
    "See what is said of the single events here.",
  ],
  malformed_json: ["The body was no valid JSON.", CLIENT],
  empty_body: ["The body had no event in it.", CLIENT],
  invalid_utf8: ["The body was not UTF-8.", CLIENT],
  body_too_large: ["The body was larger than EVP takes.", "Send fewer events in a request."],
  too_many_events: [
    "The request had more events than EVP takes at once.",
    "Send fewer events in a request.",
  ],
  malformed_encoding: ["The compressed body was damaged.", CLIENT],
  truncated_body: [
    "The connection ended before the body did.",
    "Nothing, where clients send it again; if it goes on, look at the network between.",
  ],
  body_timeout: ["The body came too slowly.", "Look at the network between, or send less at once."],
  unsupported_encoding: ["The body was packed in a way EVP does not read.", "Use gzip or zstd."],
  unsupported_content_type: [
    "The content type is none that EVP reads.",
    "Send application/json or application/x-ndjson.",
  ],
  invalid_idempotency_key: [
    "Idempotency-Key was sent with several events, or is no good id.",
    "Give each event an eventId of its own.",
  ],
  unknown_parameter: ["The address has a parameter that EVP does not know.", CLIENT],
  invalid_parameter: ["A parameter of the address has a value that EVP does not take.", CLIENT],
  not_found: ["Nothing is at the path that was asked for.", "Send to /events."],
  method_not_allowed: ["The request was made with another method.", "Send events with POST."],
};

const EVENTS: Rows = {
  type_not_allowed: [
    "The key is only for other types of events.",
    "Send it with another key, or make one that is for this type.",
  ],
  too_old: [
    "It is older than what EVP keeps.",
    "Leave it out; an operator says with storage.keep for how long events are kept.",
  ],
  undated: ["It has no time, and events are kept for some time only.", "Send a timestamp."],
  timestamp_out_of_range: [
    "Its time is before 1970 or more than a day ahead.",
    "Look at the clock of the machine that sends it, and at the unit: seconds or milliseconds.",
  ],
  invalid_timestamp: [
    "Its timestamp is no time.",
    "Send seconds or milliseconds since 1970, or RFC 3339.",
  ],
  invalid_event_id: [
    "The time in its eventId is more than a day ahead.",
    "Look at the clock of the machine that made the id.",
  ],
  duplicate_in_request: ["It was in the request twice.", "Nothing: the first one was taken."],
  not_an_object: ["It is no JSON object.", CODE],
  missing_field: ["It has no eventType.", CODE],
  unknown_field: [
    "It has a field of its own at the top level.",
    "Move the field into metadata or payload.",
  ],
  wrong_type: ["A field of it is of another type than EVP takes.", CODE],
  invalid_length: ["A text in it is empty or too long.", CODE],
  invalid_characters: ["A text in it has characters that its field does not take.", CODE],
  number_out_of_range: ["A number in it is too large to store.", "Send large numbers as text."],
  conflicting_fields: ["Two fields of it say the same thing.", "Send one of the two."],
  duplicate_key: ["An object in it has the same name twice.", CODE],
  nul_in_key: ["A name in it contains U+0000.", CODE],
  invalid_string: ["A text in it has an escape that is no character.", CODE],
  too_deep: ["Its objects are nested too deeply.", "Send them flatter."],
  event_too_large: ["It is larger than EVP stores.", "Leave large parts out of it."],
  trailing_tokens: ["Something follows it on its line.", "Send one JSON value per line."],
};

export function reasonOf(code: string): Reason {
  const event = EVENTS[code];
  const row = event ?? REQUESTS[code];
  const [why, todo] = row ?? ["EVP refused it.", "See what the API reference says of this code."];
  return { what: event ? "event" : "request", why, todo };
}

/** Whether there are words of its own for `code`. */
export function isKnown(code: string): boolean {
  return code in EVENTS || code in REQUESTS;
}
