import type { Account, Accounts } from '../shapes.ts'
import { checkTextKey, domainOf } from '../text-key.ts'
import type { AccountDocument } from './collections.ts'
import { isDuplicate } from './failure.ts'
import { beginningWith, part } from './keys.ts'
import { ask, type Session } from './session.ts'

const keyOf = (jid: string): string => `${part(domainOf(checkTextKey(jid)))} ${jid}`

const accountOf = ({ _id, at, c, off }: AccountDocument): Account => ({
  // It was a bare JID when it was written.
  jid: _id.slice(_id.indexOf(' ') + 1) as Account['jid'],
  createdAtMs: at,
  credentials: JSON.parse(c),
  isDisabled: off,
})

/** Keeps accounts, by domain and JID. */
export const mongoAccounts = (session: Session): Accounts => {
  const { accounts } = session.collections
  const run = <T>(
    domain: string,
    jid: string | undefined,
    isWrite: boolean,
    command: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> => session.order.run(`accounts ${domain}`, jid, isWrite, () => ask(session, command))
  const of = <T>(jid: string, isWrite: boolean, command: (signal: AbortSignal) => Promise<T>): Promise<T> =>
    run(domainOf(jid), jid, isWrite, command)
  return {
    async get(jid) {
      const _id = keyOf(jid)
      return of(jid, false, async (signal) => {
        const found = await accounts.findOne({ _id }, { signal })
        return found === null ? undefined : accountOf(found)
      })
    },
    async create({ jid, createdAtMs, isDisabled, credentials }) {
      const r = session.nextRevision()
      const document = { _id: keyOf(jid), at: createdAtMs, c: JSON.stringify(credentials), off: isDisabled, r }
      return of(jid, true, async () => {
        try {
          await accounts.insertOne(document)
          return true
        } catch (error) {
          if (!isDuplicate(error)) throw error
          return (await accounts.findOne({ _id: document._id }))?.r === r
        }
      })
    },
    async update(jid, { isDisabled, credentials }) {
      const _id = keyOf(jid)
      const change = {
        ...(isDisabled === undefined ? {} : { off: isDisabled }),
        ...(credentials === undefined ? {} : { c: JSON.stringify(credentials) }),
        r: session.nextRevision(),
      }
      return of(jid, true, async () => (await accounts.updateOne({ _id }, { $set: change })).matchedCount === 1)
    },
    async delete(jid) {
      const _id = keyOf(jid)
      return of(jid, true, async () => (await accounts.deleteOne({ _id })).deletedCount === 1)
    },
    async list(domain, { after, limit } = {}) {
      if (limit === 0) return []
      const all = beginningWith(`${part(domain)} `)
      const range = after === undefined ? all : { $gt: `${part(domain)} ${after}`, $lt: all.$lt }
      return run(domain, undefined, false, async () =>
        (
          await accounts
            .find({ _id: range })
            .sort({ _id: 1 })
            .limit(limit ?? 0)
            .toArray()
        ).map(accountOf),
      )
    },
    async count(domain) {
      return run(domain, undefined, false, () => accounts.countDocuments({ _id: beginningWith(`${part(domain)} `) }))
    },
  }
}
