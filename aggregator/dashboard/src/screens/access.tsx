import { useSearchParams } from "wouter";
import { Audit } from "../access/audit.tsx";
import { Keys } from "../access/keys.tsx";
import { Members } from "../access/members.tsx";
import { Tenants } from "../access/tenants.tsx";
import { may, type Role, useSession } from "../session/session.ts";
import { Segments } from "../ui/parts.tsx";

interface View {
  value: string;
  text: string;
  needs: Role;
  Panel: () => React.ReactNode;
}

const VIEWS: readonly View[] = [
  { value: "keys", text: "Keys", needs: "admin", Panel: Keys },
  { value: "members", text: "Members", needs: "admin", Panel: Members },
  { value: "audit", text: "Audit", needs: "admin", Panel: Audit },
  { value: "tenants", text: "Tenants", needs: "operator", Panel: Tenants },
];

/** Who may send and see events, and who changed that. */
export default function Access() {
  const { role } = useSession();
  const [search, setSearch] = useSearchParams();
  const views = VIEWS.filter(({ needs }) => may(role, needs));
  const chosen = views.find(({ value }) => value === search.get("view")) ?? views[0];
  return (
    <div className="screen">
      <header className="screen-head">
        <h1>Access</h1>
        <Segments
          label="What to show"
          options={views}
          value={chosen?.value ?? ""}
          onChange={(view) => setSearch({ view })}
        />
      </header>
      {chosen && <chosen.Panel />}
    </div>
  );
}
