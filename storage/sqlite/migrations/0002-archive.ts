import type { Database } from '../database.ts'

/** As version 1 wrote them. A place of a record: u32 owner | u32 peer | u8 flags, behind f64 atMs | u16 count. */
const OLD_POSTING_BYTES = 20
const OLD_MARK_BYTES = 12
const PLACE_BYTES = 9
const RECORD_HEADER_BYTES = 10
const NEW_POSTING_BYTES = 29
const NEW_MARK_BYTES = 20
const FLAG_PENDING = 1
/** Rows of version 1 are longer, so that one is two of these. */
const NEW_POSTINGS_PER_ROW = 33

interface OldRow {
  readonly owner: number
  readonly first: number
  readonly entries: Buffer
}

/** Entries in the index with their flags and when they were taken; the indexes by peer and by word. What is older than this has no such time, and is no text. */
export const archive = {
  title: 'archive',
  sql: `
    ALTER TABLE places RENAME TO old_places;
    ALTER TABLE garbage RENAME TO old_garbage;
    ALTER TABLE cleared RENAME TO old_cleared;

    -- Each owner's entries up to meta's indexed-to, some dozens to a row; postings.ts and place-index.ts describe them.
    CREATE TABLE places (
      owner INTEGER NOT NULL,
      first INTEGER NOT NULL,
      high_ms INTEGER NOT NULL,
      skew_ms INTEGER NOT NULL,
      entries BLOB NOT NULL,
      PRIMARY KEY (owner, first)
    ) WITHOUT ROWID;
    CREATE TABLE garbage (n INTEGER PRIMARY KEY, owner INTEGER NOT NULL, entries BLOB NOT NULL);
    CREATE TABLE cleared (n INTEGER PRIMARY KEY, marks BLOB NOT NULL);

    -- What follows is filled for an owner when it asks for something that needs it, up to these ids.
    CREATE TABLE progress (
      owner INTEGER PRIMARY KEY,
      peers_to INTEGER NOT NULL DEFAULT 0,
      words_to INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE peer_places (
      owner INTEGER NOT NULL,
      peer INTEGER NOT NULL,
      first INTEGER NOT NULL,
      ids BLOB NOT NULL,
      PRIMARY KEY (owner, peer, first)
    ) WITHOUT ROWID;
    CREATE TABLE conversations (
      owner INTEGER NOT NULL,
      peer INTEGER NOT NULL,
      last INTEGER NOT NULL,
      PRIMARY KEY (owner, peer)
    ) WITHOUT ROWID;
    CREATE INDEX conversations_by_last ON conversations (owner, last);
    -- The rows of words, in the order of each owner's ids.
    CREATE TABLE texts (n INTEGER PRIMARY KEY, owner INTEGER NOT NULL, id INTEGER NOT NULL, UNIQUE (owner, id));
    CREATE VIRTUAL TABLE words USING fts5(text, content = '', contentless_delete = 1, detail = none, tokenize = 'ascii');
  `,
  run(db: Database): void {
    const record = db.prepare<[number, number], { record: Buffer }>('SELECT substr(record, 1, ?) AS record FROM log WHERE id = ?')
    const isPending = db.prepare<[number, number]>('SELECT 1 FROM pending WHERE owner = ? AND id = ?')
    const flagsOf = (owner: number, id: number): number => {
      const start = record.get(RECORD_HEADER_BYTES, id)?.record
      const count = start?.readUInt16LE(8) ?? 0
      const header = record.get(RECORD_HEADER_BYTES + count * PLACE_BYTES, id)?.record
      for (let index = 0; header !== undefined && index < count; index += 1) {
        const at = RECORD_HEADER_BYTES + index * PLACE_BYTES
        if (header.readUInt32LE(at) === owner)
          return (header.readUInt8(at + 8) & ~FLAG_PENDING) | (isPending.get(owner, id) === undefined ? 0 : FLAG_PENDING)
      }
      return 0
    }
    const renewed = (owner: number, entries: Buffer): Buffer => {
      const count = entries.length / OLD_POSTING_BYTES
      const packed = Buffer.alloc(count * NEW_POSTING_BYTES)
      for (let index = 0; index < count; index += 1) {
        const [from, to] = [index * OLD_POSTING_BYTES, index * NEW_POSTING_BYTES]
        entries.copy(packed, to, from, from + 16)
        packed.writeDoubleLE(Number.NaN, to + 16)
        entries.copy(packed, to + 24, from + 16, from + 20)
        packed.writeUInt8(flagsOf(owner, entries.readDoubleLE(from)), to + 28)
      }
      return packed
    }

    const insert = db.prepare('INSERT INTO places (owner, first, high_ms, skew_ms, entries) VALUES (?, ?, ?, ?, ?)')
    const next = db.prepare<[number, number], OldRow>(
      'SELECT owner, first, entries FROM old_places WHERE (owner, first) > (?, ?) ORDER BY owner, first LIMIT 1',
    )
    let [of, highMs, skewMs] = [-1, Number.NEGATIVE_INFINITY, 0]
    for (let old = next.get(-1, -1); old !== undefined; old = next.get(old.owner, old.first)) {
      if (old.owner !== of) [of, highMs, skewMs] = [old.owner, Number.NEGATIVE_INFINITY, 0]
      const packed = renewed(old.owner, old.entries)
      for (let from = 0; from < packed.length; from += NEW_POSTINGS_PER_ROW * NEW_POSTING_BYTES) {
        const part = packed.subarray(from, from + NEW_POSTINGS_PER_ROW * NEW_POSTING_BYTES)
        for (let at = 8; at < part.length; at += NEW_POSTING_BYTES) {
          const atMs = part.readDoubleLE(at)
          highMs = Math.max(highMs, atMs)
          skewMs = Math.max(skewMs, highMs - atMs)
        }
        insert.run(old.owner, part.readDoubleLE(0), highMs, skewMs, part)
      }
    }

    const discard = db.prepare('INSERT INTO garbage VALUES (?, ?, ?)')
    for (const { n, owner, entries } of db
      .prepare<[], { n: number; owner: number; entries: Buffer }>('SELECT n, owner, entries FROM old_garbage')
      .all())
      discard.run(n, owner, renewed(owner, entries))

    const clear = db.prepare('INSERT INTO cleared VALUES (?, ?)')
    for (const { n, marks } of db.prepare<[], { n: number; marks: Buffer }>('SELECT n, marks FROM old_cleared').all()) {
      const packed = Buffer.alloc((marks.length / OLD_MARK_BYTES) * NEW_MARK_BYTES)
      for (let from = 0, to = 0; from < marks.length; from += OLD_MARK_BYTES, to += NEW_MARK_BYTES) {
        marks.copy(packed, to, from, from + OLD_MARK_BYTES)
        packed.writeDoubleLE(Number.NaN, to + OLD_MARK_BYTES)
      }
      clear.run(n, packed)
    }
    db.exec('DROP TABLE old_places; DROP TABLE old_garbage; DROP TABLE old_cleared')
  },
} as const
