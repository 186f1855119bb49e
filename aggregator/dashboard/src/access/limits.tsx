import { type Entered, Fault, Field } from "../ui/form.tsx";
import type { Limits, Rate } from "./access.ts";

/** Of how many seconds a burst is, where none is said: as `evp-aggregator access` has it. */
const BURST_S = 10;

/** What may be sent in a second; the aggregator blames both on `limits`. */
export function LimitFields({ limits = {} }: { limits?: Limits }) {
  const { events, bytes } = limits;
  return (
    <fieldset className="limits">
      <legend>Limits, each instance of ingest for itself</legend>
      <Field name="events" label="Events a second" {...NUMBER} defaultValue={events?.perSecond} />
      <Field name="eventsBurst" label="Events at once" {...NUMBER} defaultValue={events?.burst} />
      <Field name="bytes" label="Bytes a second" {...NUMBER} defaultValue={bytes?.perSecond} />
      <Field name="bytesBurst" label="Bytes at once" {...NUMBER} defaultValue={bytes?.burst} />
      <p className="note">
        Empty: no limit. At once, where nothing is said: what passes in {BURST_S} seconds.
      </p>
      <Fault name="limits" />
    </fieldset>
  );
}

const NUMBER = { type: "number", min: 1, step: 1 } as const;

export function readLimits(entered: Entered): Limits {
  const rate = (name: string): Rate | undefined => {
    const perSecond = entered.number(name);
    if (perSecond === undefined) return undefined;
    return { perSecond, burst: entered.number(`${name}Burst`) ?? perSecond * BURST_S };
  };
  return { events: rate("events"), bytes: rate("bytes") };
}
