import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { describe, expect, it } from "vitest";
import * as access from "../fixture/access.ts";
import * as fixture from "../fixture/answers.ts";
import { eventAt, eventsBefore } from "../fixture/events.ts";
import { type Analytics, RANGES } from "../src/api/types.ts";
import { OPEN } from "../src/session/session.ts";

// The fixture's answers have the types that the screens are written against. Here they are held
// against what the services say of themselves: a member that is renamed, missing or made up is found.

interface Schema {
  $ref?: string;
  allOf?: Schema[];
  type?: string | string[];
  unevaluatedProperties?: boolean;
  [keyword: string]: unknown;
}

interface Description {
  components: { schemas: Record<string, Schema> };
}

const NOW = 1_795_000_000_000;
const PREFIX = "#/components/schemas/";
const PARTS = "parts-of-";

const description = JSON.parse(
  readFileSync(resolve(import.meta.dirname, "../../../docs/openapi.json"), "utf8"),
) as Description;

/** Lets no object have members that are not described; parts of an `allOf` describe some only. */
function closed(schema: unknown, isPart = false): unknown {
  if (Array.isArray(schema)) return schema.map((each) => closed(each, isPart));
  if (typeof schema !== "object" || schema === null) return schema;
  const copy: Schema = {};
  for (const [keyword, value] of Object.entries(schema)) {
    copy[keyword] = closed(value, keyword === "allOf" || (isPart && keyword === "$ref"));
  }
  if (isPart && copy.$ref) copy.$ref = copy.$ref.replace(PREFIX, PREFIX + PARTS);
  const isObject = copy.properties !== undefined || copy.allOf !== undefined;
  if (isObject && !isPart) copy.unevaluatedProperties = false;
  return copy;
}

const schemas: Record<string, unknown> = {};
for (const [name, schema] of Object.entries(description.components.schemas)) {
  schemas[name] = closed(schema);
  schemas[PARTS + name] = closed(schema, true);
}
const ajv = new Ajv2020({ strict: false, validateFormats: false });
ajv.addSchema({ $id: "evp", components: { schemas } });

function faults(name: string, answer: unknown): string[] {
  const validate = ajv.compile({ $ref: `evp${PREFIX}${name}` });
  validate(JSON.parse(JSON.stringify(answer)));
  return (validate.errors ?? []).map(
    ({ instancePath, message, params }) => `${instancePath} ${message} ${JSON.stringify(params)}`,
  );
}

const NO_USERS: Partial<Analytics> = {
  missingReason: "not_enabled",
  topUsers: null,
  uniqueUsers: null,
  uniqueSessions: null,
};

describe("the types of the dashboard are those of the API", () => {
  const letters = fixture.deadLetters(NOW);
  const window = new URLSearchParams("window=15m&step=minute");
  const answers: [string, unknown][] = [
    ["MetricsAnswer", fixture.metrics(NOW, true)],
    ["MetricsAnswer", fixture.metrics(NOW, false)],
    ["SeriesAnswer", fixture.series(NOW, window)],
    ...RANGES.map(
      (range) => ["AnalyticsAnswer", fixture.analytics(NOW, range)] as [string, unknown],
    ),
    ["AnalyticsAnswer", { ...fixture.analytics(NOW, "15m"), ...NO_USERS }],
    ["ListAnswer", eventsBefore(NOW, new URLSearchParams())],
    ["FoundEvent", { ...eventAt(NOW), status: "stored" }],
    ["PipelineState", fixture.pipeline(NOW)],
    [
      "PipelineState",
      { ...fixture.pipeline(NOW), mongodb: null, deadLetters: null, storage: null },
    ],
    ["LettersAnswer", letters],
    ["LetterWhole", { ...letters.items[0], event: eventAt(NOW) }],
    ["Done", fixture.actionOutcome(NOW)],
    ["InfoAnswer", fixture.info("127.0.0.1:8080")],
    ["UsageAnswer", access.usage(NOW)],
    ["UsageAnswer", { ...access.usage(NOW), quota: null }],
    ["KeysAnswer", access.keys(NOW)],
    ["KeyMade", access.keyMade(NOW)],
    ["TenantsAnswer", access.tenants()],
    ["AuditAnswer", access.audit(NOW)],
    ["MethodsAnswer", access.signIn()],
    ["MembersAnswer", access.members(NOW)],
    ["SessionAnswer", access.session(NOW)],
    ["SessionAnswer", OPEN],
  ];
  it.each(answers)("%s", (name, answer) => {
    expect(faults(name, answer)).toEqual([]);
  });

  it("and a member that is missing or made up would be found", () => {
    const { version, ...rest } = fixture.info("127.0.0.1:8080");
    expect(faults("InfoAnswer", rest).join()).toContain("version");
    expect(faults("InfoAnswer", { version, ...rest, made: "up" }).join()).toContain("made");
    const letter = { ...letters.items[0], event: { ...eventAt(NOW), made: "up" } };
    expect(faults("LetterWhole", letter).join()).toContain("made");
  });
});
