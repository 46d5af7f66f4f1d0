/** Accounts, documents, expiring values, and the log with its lazily filled indexes. */
export const initial = {
  title: 'initial',
  sql: `
    CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    INSERT INTO meta VALUES ('revision', 0), ('checked', 0), ('last-id', 0),
      ('indexed-to', 0), ('indexing-to', 0), ('indexed-owner', 0), ('cleared-to', 0);

    CREATE TABLE accounts (
      domain TEXT NOT NULL,
      jid TEXT NOT NULL,
      created_ms INTEGER NOT NULL,
      is_disabled INTEGER NOT NULL,
      credentials TEXT NOT NULL,
      PRIMARY KEY (domain, jid)
    ) WITHOUT ROWID;

    CREATE TABLE documents (
      store TEXT NOT NULL,
      owner TEXT NOT NULL,
      key TEXT NOT NULL,
      revision INTEGER NOT NULL,
      value TEXT NOT NULL,
      PRIMARY KEY (store, owner, key)
    ) WITHOUT ROWID;

    CREATE TABLE expiring (
      store TEXT NOT NULL,
      key TEXT NOT NULL,
      expires_ms INTEGER NOT NULL,
      value TEXT NOT NULL,
      PRIMARY KEY (store, key)
    ) WITHOUT ROWID;
    CREATE INDEX expiring_by_end ON expiring (expires_ms);

    -- Owners and peers as small integers.
    CREATE TABLE names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
    -- record.ts describes the bytes.
    CREATE TABLE log (id INTEGER PRIMARY KEY, record BLOB NOT NULL);
    -- Each owner's entries up to meta's indexed-to, some dozens to a row; place-index.ts describes the bytes.
    CREATE TABLE places (
      owner INTEGER NOT NULL,
      first INTEGER NOT NULL,
      from_ms INTEGER NOT NULL,
      until_ms INTEGER NOT NULL,
      entries BLOB NOT NULL,
      PRIMARY KEY (owner, first)
    ) WITHOUT ROWID;
    -- Of the entries in places, those no device has taken.
    CREATE TABLE pending (owner INTEGER NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (owner, id)) WITHOUT ROWID;
    -- Marks taken off and not yet worked into the tables above, one row a commit.
    CREATE TABLE cleared (n INTEGER PRIMARY KEY, marks BLOB NOT NULL);
    -- Entries of removed owners whose records still name them.
    CREATE TABLE garbage (n INTEGER PRIMARY KEY, owner INTEGER NOT NULL, entries BLOB NOT NULL);
  `,
} as const
