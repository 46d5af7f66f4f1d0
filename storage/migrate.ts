import { createHash, type Hash } from 'node:crypto'
import type { BareJid } from '#stanzas/jid.ts'
import type { Driver } from './driver.ts'
import type { StoreInventory } from './inventory.ts'
import { MongoDriver } from './mongo/driver.ts'
import { MongoLoader } from './mongo/loader.ts'
import type { LogEntry } from './shapes.ts'
import { SqliteDriver } from './sqlite/driver.ts'
import { sqliteInventory } from './sqlite/inventory.ts'
import { StorageError } from './storage-error.ts'

/** Entries of the log, or accounts, that are in memory at once; documents may be larger. */
const PAGE = 500
const DOCUMENTS_PAGE = 50

export interface MigrateOptions {
  /** The data folder of the embedded store. */
  readonly folder: string
  readonly url: string
  readonly nowMs: () => number
  /** Is told what is being done, and how much of it is. */
  readonly onProgress: (what: string, done: number, all: number) => void
}

/** How much there is of each kind, in both databases. */
export interface Migrated {
  readonly accounts: number
  readonly documents: number
  readonly expiring: number
  readonly entries: number
}

/** Copies an embedded store into an empty MongoDB database and compares both, by counts and checksums. Run again, it goes on where it was. */
export const migrate = async ({ folder, url, nowMs, onProgress }: MigrateOptions): Promise<Migrated> => {
  const source = await SqliteDriver.open({ folder, durability: 'full', nowMs })
  const inventory = sqliteInventory(folder)
  try {
    const loader = await MongoLoader.open({ url, durability: 'full' })
    try {
      await copy(source, inventory, loader, onProgress)
      const target = await MongoDriver.open({ url, durability: 'full', nowMs, isFilling: true })
      let migrated: Migrated
      try {
        await copyExpiring(source, target, inventory)
        migrated = await compare(source, target, inventory, onProgress)
      } finally {
        await target.close()
      }
      await loader.done()
      return migrated
    } finally {
      await loader.close()
    }
  } finally {
    inventory.close()
    await source.close()
  }
}

/** One piece of work: everything of this name in this section. */
interface Piece {
  readonly section: string
  readonly name: string
  copy(): Promise<void>
}

const copy = async (
  source: Driver,
  inventory: StoreInventory,
  loader: MongoLoader,
  onProgress: MigrateOptions['onProgress'],
): Promise<void> => {
  const pieces: Piece[] = [
    ...inventory.domains.map((name) => ({ section: 'accounts', name, copy: () => copyAccounts(source, name, loader) })),
    ...inventory.documentStores.flatMap((store) =>
      inventory
        .ownersOf(store)
        .map((name) => ({ section: `documents ${store}`, name, copy: () => copyDocuments(source, store, name, loader) })),
    ),
    ...inventory.logOwners.map((name) => ({ section: 'log', name, copy: () => copyLog(source, name, loader) })),
  ]
  const reached = await loader.progress()
  const first =
    reached === undefined ? 0 : 1 + pieces.findIndex(({ section, name }) => section === reached.section && name === reached.name)
  for (const [index, piece] of pieces.entries()) {
    if (index < first) continue
    await piece.copy()
    await loader.reached(piece)
    onProgress('copied', index + 1, pieces.length)
  }
  await loader.lastId(await source.log.lastId())
}

const copyAccounts = async (source: Driver, domain: string, loader: MongoLoader): Promise<void> => {
  for await (const page of accountPages(source, domain)) await loader.accounts(page)
}

const copyDocuments = async (source: Driver, store: string, owner: string, loader: MongoLoader): Promise<void> => {
  for await (const page of documentPages(source, store, owner)) await loader.documents(store, owner, page)
}

const copyLog = async (source: Driver, owner: string, loader: MongoLoader): Promise<void> => {
  for await (const page of entryPages(source, owner)) await loader.log(page)
}

/** They change while they are copied, and are few: they are copied whole each time. */
const copyExpiring = async (source: Driver, target: Driver, { expiringStores }: StoreInventory): Promise<void> => {
  for (const store of expiringStores) {
    const values = target.expiring<unknown>(store)
    const all = await source.expiring<unknown>(store).list('')
    await Promise.all(all.map(({ key, value, expiresAtMs }) => values.put(key, value, expiresAtMs)))
  }
}

const compare = async (
  source: Driver,
  target: Driver,
  inventory: StoreInventory,
  onProgress: MigrateOptions['onProgress'],
): Promise<Migrated> => {
  const counts = { accounts: 0, documents: 0, expiring: 0, entries: 0 }
  const sums: [keyof Migrated, string, (driver: Driver) => Promise<Sum>][] = [
    ...inventory.domains.map((domain) => part('accounts', domain, (driver) => sumOf(accountPages(driver, domain), accountText))),
    ...inventory.documentStores.flatMap((store) =>
      inventory
        .ownersOf(store)
        .map((owner) =>
          part('documents', `${store} of ${owner}`, (driver) => sumOf(documentPages(driver, store, owner), documentText)),
        ),
    ),
    ...inventory.expiringStores.map((store) =>
      part('expiring', store, (driver) => sumOf(expiringPages(driver, store), valueText)),
    ),
    ...inventory.logOwners.map((owner) =>
      part('entries', `the log of ${owner}`, (driver) => sumOf(entryPages(driver, owner), entryText)),
    ),
  ]
  for (const [index, [kind, name, sum]] of sums.entries()) {
    const [there, here] = await Promise.all([sum(source), sum(target)])
    if (there.count !== here.count || there.digest !== here.digest)
      throw new StorageError(
        `${kind}: ${name} came out different (${there.count} there, ${here.count} here); nothing may use this database`,
        {
          isTransient: false,
        },
      )
    counts[kind] += here.count
    onProgress('compared', index + 1, sums.length)
  }
  if ((await source.log.lastId()) !== (await target.log.lastId()))
    throw new StorageError('the last id of the log came out different', { isTransient: false })
  return counts
}

const part = (
  kind: keyof Migrated,
  name: string,
  sum: (driver: Driver) => Promise<Sum>,
): [keyof Migrated, string, (driver: Driver) => Promise<Sum>] => [kind, name, sum]

interface Sum {
  readonly count: number
  readonly digest: string
}

const sumOf = async <T>(pages: AsyncIterable<readonly T[]>, add: (hash: Hash, each: T) => void): Promise<Sum> => {
  const hash = createHash('sha256')
  let count = 0
  for await (const page of pages)
    for (const each of page) {
      add(hash, each)
      count += 1
    }
  return { count, digest: hash.digest('hex') }
}

const accountText = (hash: Hash, account: unknown): void => void hash.update(`${JSON.stringify(account)}\n`)
const documentText = (hash: Hash, { key, value }: { readonly key: string; readonly value: unknown }): void =>
  void hash.update(`${JSON.stringify([key, value])}\n`)
const valueText = (hash: Hash, value: unknown): void => void hash.update(`${JSON.stringify(value)}\n`)
const entryText = (hash: Hash, { stanza, ...entry }: LogEntry): void =>
  void hash.update(`${JSON.stringify(Object.entries(entry).sort())}\n`).update(stanza, 'latin1')

async function* accountPages(driver: Driver, domain: string) {
  let page = await driver.accounts.list(domain, { limit: PAGE })
  for (let last = page.at(-1); last !== undefined; last = page.at(-1)) {
    yield page
    page = await driver.accounts.list(domain, { after: last.jid, limit: PAGE })
  }
}

async function* documentPages(driver: Driver, store: string, owner: string) {
  const documents = driver.documents<unknown>(store)
  let page = await documents.list(owner, { limit: DOCUMENTS_PAGE })
  for (let last = page.at(-1); last !== undefined; last = page.at(-1)) {
    yield page
    page = await documents.list(owner, { after: last.key, limit: DOCUMENTS_PAGE })
  }
}

async function* expiringPages(driver: Driver, store: string) {
  yield await driver.expiring<unknown>(store).list('')
}

async function* entryPages(driver: Driver, name: string) {
  // The names of a log's owners were bare JIDs when they were written.
  const owner = name as BareJid
  let page = await driver.log.range(owner, { limit: PAGE })
  for (let last = page.at(-1); last !== undefined; last = page.at(-1)) {
    yield page
    page = await driver.log.range(owner, { after: last.id, limit: PAGE })
  }
}
