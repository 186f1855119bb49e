export interface Snippet {
  name: string;
  /** How to run it, where that is not plain. */
  hint?: string;
  code: string;
}

/** Stands where a key has to. */
const YOUR_KEY = "YOUR_KEY";

/**
 * The first event in the reader's own tools, with the address it can be copied with as it is; and
 * with the key to send with, unless none is asked for (`undefined`).
 */
export function snippets(ingestUrl: string, key?: string | null): Snippet[] {
  const url = `${ingestUrl}/events`;
  const isKeyed = key !== undefined;
  const bearer = `Bearer ${key ?? YOUR_KEY}`;
  const header = isKeyed ? `, authorization: "${bearer}"` : "";
  return [
    {
      name: "curl",
      code: `curl -s ${url} \\${isKeyed ? `\n  -H "authorization: ${bearer}" \\` : ""}
  -d '{"eventType":"signup","userId":"alice","payload":{"plan":"pro"}}'`,
    },
    {
      name: "Browser",
      hint: isKeyed
        ? "Only with a public key (evp_pub_), which names the origins whose pages may use it."
        : "Allowed from the origins in ingest.cors.origins; under make run from this page.",
      code: `await fetch("${url}", {
  method: "POST",
  headers: { "content-type": "application/json"${header} },
  keepalive: true, // is sent even when the page is left
  body: JSON.stringify({
    eventType: "page_view",
    userId: "alice",
    metadata: { path: location.pathname },
  }),
});`,
    },
    {
      name: "Node",
      hint: "Node 18 or newer, nothing to install. Save it as send.mjs.",
      code: `import { randomUUID } from "node:crypto";

// One id and time for all attempts: a retry is then no second event.
const event = {
  eventType: "order_paid",
  eventId: randomUUID(),
  timestamp: Date.now(),
  userId: "alice",
  payload: { total: 42.5, currency: "EUR" },
};

for (let attempt = 1; attempt <= 5; attempt += 1) {
  const answer = await fetch("${url}", {
    method: "POST",
    headers: { "content-type": "application/json"${header} },
    body: JSON.stringify(event),
  }).catch(() => null);
  if (answer && answer.status !== 503) {
    console.log(answer.status, await answer.json());
    break;
  }
  const seconds = Number(answer?.headers.get("retry-after") ?? 1);
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}`,
    },
    {
      name: "Python",
      hint: "Python 3, nothing to install.",
      code: `import json, time, urllib.request, uuid

events = [
    {"eventType": "signup", "eventId": str(uuid.uuid4()),
     "timestamp": int(time.time() * 1000), "userId": f"user-{n}"}
    for n in range(100)
]
request = urllib.request.Request(
    "${url}?ids=none",
    data="\\n".join(json.dumps(event) for event in events).encode(),
    headers={"content-type": "application/x-ndjson"${isKeyed ? `, "authorization": "${bearer}"` : ""}},
)
with urllib.request.urlopen(request) as answer:
    print(answer.status, json.load(answer))`,
    },
    {
      name: "k6",
      hint: "1,000 events a second for half a minute: k6 run send.js",
      code: `import http from "k6/http";
import { check } from "k6";

export const options = {
  scenarios: {
    steady: { executor: "constant-arrival-rate", rate: 10, timeUnit: "1s",
              duration: "30s", preAllocatedVUs: 5 },
  },
  thresholds: { checks: ["rate==1"] },
};

export default function () {
  const events = Array.from({ length: 100 }, (_, n) => ({
    eventType: n % 10 === 0 ? "order_paid" : "page_view",
    userId: \`user-\${(__ITER * 100 + n) % 500}\`,
  }));
  const answer = http.post("${url}?ids=none", JSON.stringify(events), {
    headers: { "content-type": "application/json"${header} },
  });
  check(answer, { "accepted": (r) => r.status === 202 && r.json("accepted") === 100 });
}`,
    },
  ];
}
