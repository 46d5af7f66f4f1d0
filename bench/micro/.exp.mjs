import fs from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import Database from 'better-sqlite3'

const mode = process.argv[2],
  size = +(process.argv[3] ?? 627),
  batch = +(process.argv[4] ?? 500),
  batches = +(process.argv[5] ?? 200),
  ckpt = process.argv[6] ?? '1000'
const dir = fs.mkdtempSync('/tmp/exp/x')
const f = dir + '/d.db'
const db = mode.startsWith('node') ? new DatabaseSync(f) : new Database(f)
db.exec('PRAGMA page_size=4096')
db.exec('PRAGMA journal_mode=WAL')
db.exec('PRAGMA synchronous=FULL')
db.exec('PRAGMA wal_autocheckpoint=' + ckpt)
db.exec('CREATE TABLE log(id INTEGER PRIMARY KEY, at, places BLOB, record BLOB)')
const begin = db.prepare('BEGIN IMMEDIATE'),
  commit = db.prepare('COMMIT')
const buf = Buffer.alloc(size * batch, 0x61)
const rows = (n) => 'INSERT INTO log(id,record) VALUES ' + Array(n).fill('(?,?)').join(',')
const srows = (n) =>
  'INSERT INTO log(id,record) VALUES ' +
  Array.from({ length: n }, (_, i) => `(?${i * 3 + 2},substr(?1,?${i * 3 + 3},?${i * 3 + 4}))`).join(',')
const N = +(mode.match(/\d+/)?.[0] ?? 1)
const st = mode.includes('sub') ? db.prepare(srows(N)) : db.prepare(rows(N))
const one = db.prepare('INSERT INTO log(id,at,places,record) VALUES(?,?,?,?)')
let id = 1e15
const t0 = process.cpuUsage(),
  w0 = performance.now()
const arr = []
for (let b = 0; b < batches; b++) {
  begin.run()
  if (mode.includes('four'))
    for (let i = 0; i < batch; i++) one.run(id++, 1e12, buf.subarray(0, 18), buf.subarray(i * size, i * size + size - 18))
  else if (mode.includes('sub'))
    for (let i = 0; i < batch; i += N) {
      arr.length = 0
      arr.push(buf)
      for (let j = 0; j < N; j++) arr.push(id++, (i + j) * size + 1, size)
      st.run(...arr)
    }
  else if (N === 1) for (let i = 0; i < batch; i++) st.run(id++, buf.subarray(i * size, i * size + size))
  else
    for (let i = 0; i < batch; i += N) {
      arr.length = 0
      for (let j = 0; j < N; j++) arr.push(id++, buf.subarray((i + j) * size, (i + j) * size + size))
      st.run(...arr)
    }
  commit.run()
}
const c = process.cpuUsage(t0),
  w = performance.now() - w0
console.log(
  mode,
  size,
  batch,
  ckpt,
  'cpu us/row',
  ((c.user + c.system) / batches / batch).toFixed(2),
  'user',
  (c.user / batches / batch).toFixed(2),
  'rows/s',
  (((batch * batches) / w) * 1000).toFixed(0),
  'MB',
  (fs.statSync(f).size / 1e6).toFixed(0),
)
db.close()
fs.rmSync(dir, { recursive: true })
