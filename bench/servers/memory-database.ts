import { once } from 'node:events'
import { existsSync, openSync, readFileSync, writeSync } from 'node:fs'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { BSON, type Document } from 'mongodb'

/**
 * A server that speaks as much of MongoDB's protocol as the server needs, keeps documents in memory, and answers writes after as long as a journal takes. It promises nothing:
 * it is there so that the cost of nodes can be measured where no MongoDB is, and those that stand in for one in tests take a hundred times as long for a message.
 * With a journal it outlives `kill -9`: commands that write are in the kernel's hands before they are answered, and are carried out again at the start.
 */

type Collection = Map<string, Bucket>
/** Documents whose `_id` has the same first word, which is their owner's name; `ids` are in order. */
type Bucket = { readonly ids: string[]; readonly byId: Map<string, Document> }

const OP_MSG = 2013
const DUPLICATE_KEY = 11_000
/** What a majority with journals takes on fast disks in one room. */
const COMMIT_MS = 3

/** Commands so far by name and collection, and the bytes of all. */
const asked = new Map<string, number>()
let bytesIn = 0

const collections = new Map<string, Collection>()

const collectionOf = (name: string): Collection => {
  const found = collections.get(name) ?? new Map()
  collections.set(name, found)
  return found
}

const bucketOf = (collection: Collection, id: string): Bucket => {
  const owner = id.slice(0, id.indexOf(' ') + 1)
  const found = collection.get(owner) ?? { ids: [], byId: new Map() }
  collection.set(owner, found)
  return found
}

/** The first place in order at which an id is not below this one. */
const placeOf = (ids: readonly string[], id: string): number => {
  if ((ids.at(-1) ?? '') < id) return ids.length
  let [low, high] = [0, ids.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((ids[middle] ?? '') < id) low = middle + 1
    else high = middle
  }
  return low
}

const add = (collection: Collection, document: Document): boolean => {
  const { ids, byId } = bucketOf(collection, document._id)
  if (byId.has(document._id)) return false
  ids.splice(placeOf(ids, document._id), 0, document._id)
  byId.set(document._id, document)
  return true
}

const remove = (collection: Collection, id: string): void => {
  const { ids, byId } = bucketOf(collection, id)
  if (byId.delete(id)) ids.splice(placeOf(ids, id), 1)
}

/** The documents that a filter can mean, in order: it names one, several, or a range of one owner's. */
function* candidates(collection: Collection, { _id }: Document): Generator<Document> {
  const named: readonly string[] | undefined = typeof _id === 'string' ? [_id] : _id?.$in
  if (named !== undefined) {
    for (const id of named) {
      const found = bucketOf(collection, id).byId.get(id)
      if (found !== undefined) yield found
    }
    return
  }
  const start: string | undefined = _id?.$gte ?? _id?.$gt
  const buckets = start?.includes(' ') ? [bucketOf(collection, start)] : collection.values()
  for (const { ids, byId } of buckets) {
    // Whoever reads may remove what it has read.
    for (const id of ids.slice(start === undefined ? 0 : placeOf(ids, start))) {
      const found = byId.get(id)
      if (found === undefined) continue
      if (_id?.$lt !== undefined && id >= _id.$lt) break
      yield found
    }
  }
}

const OPERATORS: Readonly<Record<string, (value: unknown, wanted: never) => boolean>> = {
  $gte: (value, wanted) => (value as number) >= wanted,
  $gt: (value, wanted) => (value as number) > wanted,
  $lte: (value, wanted) => (value as number) <= wanted,
  $lt: (value, wanted) => (value as number) < wanted,
  $in: (value, wanted: readonly unknown[]) => wanted.includes(value),
  $nin: (value, wanted: readonly unknown[]) => !wanted.includes(value),
  $ne: (value, wanted) => value !== wanted,
  $exists: (value, wanted) => (value !== undefined) === wanted,
}

const fits = (document: Document, filter: Document): boolean =>
  Object.entries(filter).every(([name, wanted]) => {
    if (name === '$or') return wanted.some((each: Document) => fits(document, each))
    if (name === '$and') return wanted.every((each: Document) => fits(document, each))
    if (typeof wanted !== 'object' || wanted === null) return document[name] === wanted
    return Object.entries(wanted).every(([operator, value]) => {
      const holds = OPERATORS[operator]
      if (holds === undefined) throw new Error(`no operator ${operator}`)
      return holds(document[name], value as never)
    })
  })

const found = (collection: Collection, filter: Document, limit = Number.POSITIVE_INFINITY): Document[] => {
  const documents: Document[] = []
  for (const document of candidates(collection, filter)) {
    if (documents.length >= limit) break
    if (fits(document, filter)) documents.push(document)
  }
  return documents
}

const changed = (document: Document, change: Document): Document => {
  if (!Object.keys(change).some((name) => name.startsWith('$'))) return { ...change, _id: document._id }
  const next = { ...document, ...change.$set }
  for (const name of Object.keys(change.$unset ?? {})) delete next[name]
  for (const [name, value] of Object.entries(change.$max ?? {}))
    if (next[name] === undefined || next[name] < (value as number)) next[name] = value
  return next
}

const insert = (collection: Collection, documents: readonly Document[]): Document => {
  const errmsg = 'duplicate key'
  const writeErrors = documents.flatMap((document, index) =>
    add(collection, document) ? [] : [{ index, code: DUPLICATE_KEY, errmsg }],
  )
  return { n: documents.length - writeErrors.length, ...(writeErrors.length > 0 && { writeErrors }) }
}

const update = (collection: Collection, updates: readonly Document[]): Document => {
  const upserted: Document[] = []
  let n = 0
  for (const [index, { q, u, upsert, multi }] of updates.entries()) {
    const documents = found(collection, q, multi ? undefined : 1)
    for (const document of documents) bucketOf(collection, document._id).byId.set(document._id, changed(document, u))
    n += documents.length
    if (documents.length > 0 || upsert !== true) continue
    add(collection, changed({ _id: q._id }, { ...u, ...(u.$setOnInsert && { $set: { ...u.$set, ...u.$setOnInsert } }) }))
    upserted.push({ index, _id: q._id })
    n += 1
  }
  return { n, nModified: n - upserted.length, ...(upserted.length > 0 && { upserted }) }
}

const erase = (collection: Collection, deletes: readonly Document[]): Document => {
  let n = 0
  for (const { q, limit } of deletes) {
    const documents = found(collection, q, limit === 0 ? undefined : limit)
    for (const { _id } of documents) remove(collection, _id)
    n += documents.length
  }
  return { n }
}

const find = (collection: Collection, { filter = {}, sort, limit, singleBatch }: Document): readonly Document[] => {
  const most = limit === undefined || limit === 0 ? undefined : Math.abs(limit)
  if (sort?._id !== -1) return found(collection, filter, most ?? (singleBatch === true ? 1 : undefined))
  return found(collection, filter).reverse().slice(0, most)
}

const findAndModify = (collection: Collection, { query, remove: removes, update: change, upsert }: Document): Document => {
  const [document] = found(collection, query, 1)
  if (removes === true && document !== undefined) remove(collection, document._id)
  else if (removes !== true) update(collection, [{ q: query, u: change, upsert }])
  return { value: document ?? null, lastErrorObject: { n: document === undefined ? 0 : 1 } }
}

/** Counts, which is all that a server asks for while its clients chat. */
const aggregate = (collection: Collection, pipeline: readonly Document[]): readonly Document[] => {
  const group = pipeline.find((stage) => stage.$group !== undefined)?.$group
  if (group?.n === undefined) return []
  const count = found(collection, pipeline[0]?.$match ?? {}).length
  return count === 0 ? [] : [{ _id: group._id, n: count }]
}

const WRITES = new Set(['insert', 'update', 'delete', 'findAndModify'])

const answerTo = (name: string, command: Document): Document => {
  const collection = typeof command[name] === 'string' ? collectionOf(command[name]) : new Map()
  const page = (firstBatch: readonly Document[]): Document => ({
    cursor: { id: BSON.Long.ZERO, ns: `${command.$db}.${command[name]}`, firstBatch },
  })
  switch (name) {
    case 'insert':
      return insert(collection, command.documents)
    case 'update':
      return update(collection, command.updates)
    case 'delete':
      return erase(collection, command.deletes)
    case 'find':
      return page(find(collection, command))
    case 'aggregate':
      return page(aggregate(collection, command.pipeline))
    case 'findAndModify':
      return findAndModify(collection, command)
    case 'benchCounts':
      return { commands: Object.fromEntries(asked), bytesIn }
    case 'hello':
    case 'ismaster':
    case 'isMaster':
      return { ...hello, ...LIMITS }
    default:
      return {}
  }
}

const LIMITS = { maxBsonObjectSize: 16_777_216, maxMessageSizeBytes: 48_000_000, maxWriteBatchSize: 100_000 }
const hello: Document = {
  isWritablePrimary: true,
  setName: 'bench',
  maxWireVersion: 25,
  minWireVersion: 0,
  logicalSessionTimeoutMinutes: 30,
}

let journal: number | undefined

const commandIn = (message: Buffer): Document =>
  BSON.deserialize(message.subarray(21, 21 + message.readInt32LE(21)), { promoteBuffers: false })

/** Carries out what an earlier process had written down, and goes on writing there. */
const resumeFrom = (file: string): void => {
  const all = existsSync(file) ? readFileSync(file) : Buffer.alloc(0)
  for (let at = 0; at + 16 <= all.length && at + all.readInt32LE(at) <= all.length; at += all.readInt32LE(at)) {
    const command = commandIn(all.subarray(at, at + all.readInt32LE(at)))
    answerTo(Object.keys(command)[0] ?? '', command)
  }
  journal = openSync(file, 'a')
}

const take = (socket: Socket, message: Buffer): void => {
  const isMessage = message.readInt32LE(12) === OP_MSG
  // Before it knows what it talks to, a driver asks in the old way.
  const command: Document = isMessage ? commandIn(message) : { hello: 1 }
  const [name = ''] = Object.keys(command)
  if (typeof command[name] === 'string') asked.set(`${name} ${command[name]}`, (asked.get(`${name} ${command[name]}`) ?? 0) + 1)
  bytesIn += message.length
  if (journal !== undefined && WRITES.has(name)) writeSync(journal, message)
  const document = BSON.serialize({ ...answerTo(name, command), ok: 1 })
  const head = Buffer.alloc(isMessage ? 21 : 36)
  head.writeInt32LE(head.length + document.length, 0)
  head.writeInt32LE(message.readInt32LE(4), 8)
  head.writeInt32LE(isMessage ? OP_MSG : 1, 12)
  if (!isMessage) head.writeInt32LE(1, 32)
  const answer = Buffer.concat([head, document])
  if (WRITES.has(name)) setTimeout(() => socket.writable && socket.write(answer), COMMIT_MS)
  else socket.write(answer)
}

if (import.meta.main) {
  if (process.argv[3] !== undefined) resumeFrom(process.argv[3])
  const server = createServer((socket) => {
    const chunks: Buffer[] = []
    let bytes = 0
    socket.on('error', () => undefined)
    socket.on('data', (chunk) => {
      chunks.push(chunk)
      bytes += chunk.length
      const [first = chunk] = chunks
      if (bytes < 4 || (first.length >= 4 && bytes < first.readInt32LE(0))) return
      let kept = Buffer.concat(chunks.splice(0))
      while (kept.length >= 16 && kept.length >= kept.readInt32LE(0)) {
        const message = kept.subarray(0, kept.readInt32LE(0))
        kept = kept.subarray(message.length)
        take(socket, message)
      }
      bytes = kept.length
      if (bytes > 0) chunks.push(kept)
    })
  })
  server.listen(Number(process.argv[2] ?? 0), '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  hello.hosts = [`127.0.0.1:${port}`]
  hello.me = `127.0.0.1:${port}`
}
