// Roles and users of EVP in MongoDB, one for each service that speaks to it; ingest never does.
//
//   PROCESSOR_PASSWORD=... AGGREGATOR_PASSWORD=... mongosh "mongodb://root@host/admin" roles.js
//
// It can be run again: what is there is brought to this. EVP_DATABASE names another mongo.database.
// Restart the services after a change of passwords.
//
// MongoDB gives rights for one collection or for all of a database. The processor makes and drops
// collections of events all the time, so it has rights on all of `evp`; what it must not touch lies in
// `evp_access`. Nobody changes or deletes what stands in `audit`.

const EVENTS = process.env.EVP_DATABASE || "evp";
const ACCESS = `${EVENTS}_access`;

// Between the brackets stands JSON, and comments on lines of their own: tests read it as that.
const RIGHTS = [
  { "user": "processor", "in": "events", "collection": "", "actions": [
    // Spans, receipts, dead letters, marks.
    "find", "insert", "update", "remove", "createCollection", "dropCollection",
    "createIndex", "dropIndex", "listIndexes", "listCollections", "collStats", "dbStats"
  ] },
  { "user": "processor", "in": "access", "collection": "audit", "actions": ["find", "insert"] },
  // What `doctor` asks: the cache, open files, whether a collection is sharded. And what `backup` does.
  { "user": "processor", "in": "cluster", "actions": ["serverStatus", "getCmdLineOpts", "fsync", "unlock"] },
  { "user": "processor", "in": "config", "collection": "collections", "actions": ["find"] },

  { "user": "aggregator", "in": "events", "collection": "", "actions": ["find", "listCollections", "collStats", "dbStats"] },
  // Replay and purge.
  { "user": "aggregator", "in": "events", "collection": "dead_letters", "actions": ["update", "remove"] },
  // A tenant stays for ever, a key that ended is forgotten.
  { "user": "aggregator", "in": "access", "collection": "tenants", "actions": ["find", "insert", "update"] },
  { "user": "aggregator", "in": "access", "collection": "keys", "actions": ["find", "insert", "update", "remove"] },
  { "user": "aggregator", "in": "access", "collection": "meta", "actions": ["find", "insert", "update"] },
  { "user": "aggregator", "in": "access", "collection": "audit", "actions": ["find", "insert"] },
  { "user": "aggregator", "in": "access", "collection": "members", "actions": ["find", "insert", "update", "remove"] },
  { "user": "aggregator", "in": "access", "collection": "codes", "actions": ["find", "insert", "update", "remove", "createIndex"] },
  // Sessions and links come and go; MongoDB deletes those that nobody ends.
  { "user": "aggregator", "in": "access", "collection": "sessions", "actions": ["find", "insert", "update", "remove", "createIndex"] },
  { "user": "aggregator", "in": "access", "collection": "links", "actions": ["find", "insert", "update", "remove", "createIndex"] }
];

const admin = db.getSiblingDB("admin");
const names = { events: EVENTS, access: ACCESS, config: "config" };
const privilege = (right) => ({
  resource:
    right.in === "cluster" ? { cluster: true } : { db: names[right.in], collection: right.collection },
  actions: right.actions,
});

for (const user of ["processor", "aggregator"]) {
  const password = process.env[`${user.toUpperCase()}_PASSWORD`];
  if (!password) throw new Error(`${user.toUpperCase()}_PASSWORD is not set`);
  const role = `evp_${user}`;
  const privileges = RIGHTS.filter((right) => right.user === user).map(privilege);
  const rights = { privileges, roles: [] };
  if (admin.getRole(role)) admin.updateRole(role, rights);
  else admin.createRole({ role, ...rights });
  const login = { pwd: password, roles: [{ role, db: "admin" }] };
  if (admin.getUser(user)) admin.updateUser(user, login);
  else admin.createUser({ user, ...login });
}

// Whoever may make an index may have entries deleted by it: no service makes those of `audit`.
db.getSiblingDB(ACCESS).runCommand({
  createIndexes: "audit",
  indexes: [
    { name: "kept", key: { at: 1 }, expireAfterSeconds: 400 * 24 * 3600 },
    { name: "tenant", key: { tenant: 1, _id: -1 } },
  ],
});
