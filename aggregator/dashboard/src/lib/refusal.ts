import { ApiError } from "../api/client.ts";
import { duration } from "./format.ts";

/** What a refusal means to somebody who looks at a screen; the aggregator speaks to programs. */
const WORDS: Record<string, string> = {
  unknown_key: "This key is not known here: it is of another system, or was never made.",
  key_expired: "This key has ended. Whoever made it can make another one.",
  key_revoked: "This key was revoked. Whoever made it can make another one.",
  tenant_disabled: "This tenant is disabled: an operator can enable it again.",
  link_ended: "This link was used, or is older than ten minutes. Ask for another one.",
  wrong_code: "That is not the code: take the one of the newest mail.",
  code_expired: "That code is no longer good. Ask for another one.",
  not_in_force:
    "The change is kept, and comes into force once Redis answers: look again before repeating it.",
};

/** Why users are not counted, where they are not. */
export function whyUncounted(reason?: string | null): string {
  return reason === "not_enabled"
    ? "An operator can have the tenant's users counted."
    : "Not known for this time.";
}

/** Says in a sentence why something failed, and what to do. */
export function inWords(error: Error): string {
  if (!(error instanceof ApiError)) return "Something went wrong on this page.";
  if (error.code === "scope_missing") return missing(error.url);
  if (error.status === 429 && error.url.startsWith("/sign-in")) return tooMany(error);
  return WORDS[error.code] ?? sentence(error.message);
}

/** Which role takes what was asked for. */
function missing(url: string): string {
  if (url.startsWith("/sign-in")) {
    return "This key may not see anything: to sign in takes one of the scope read, admin or operator.";
  }
  if (/^\/admin\/(pipeline|tenants)/.test(url)) {
    return "Only an operator may do this: it is about all tenants.";
  }
  if (url.startsWith("/admin")) return "Only an admin of the tenant, or an operator, may do this.";
  if (url.startsWith("/")) return "This takes the role viewer, admin or operator of the tenant.";
  return "The key may not send events: that takes one of the scope write.";
}

function tooMany({ problem }: ApiError): string {
  const seconds = problem.retryAfterSeconds;
  const when = typeof seconds === "number" ? `in ${duration(seconds * 1_000)}` : "later";
  return `Too many tries: try again ${when}.`;
}

function sentence(text: string): string {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}
