import type { BareJid } from '#stanzas/jid.ts'
import type { Account, Accounts } from '../shapes.ts'
import { checkTextKey, domainOf } from '../text-key.ts'
import { compareCodePoints } from './code-points.ts'
import type { CommitQueue } from './commit-queue.ts'

/** Keeps accounts in a map. */
export const memoryAccounts = (queue: CommitQueue): Accounts => {
  const accounts = new Map<BareJid, Account>()
  const ofDomain = (domain: string) => [...accounts.values()].filter((account) => domainOf(account.jid) === domain)
  return {
    get: (jid) => queue.read(() => accounts.get(jid)),
    create: (account) =>
      queue.write(() => {
        checkTextKey(account.jid)
        if (accounts.has(account.jid)) return false
        accounts.set(account.jid, account)
        return true
      }),
    update: (jid, change) =>
      queue.write(() => {
        const account = accounts.get(jid)
        if (account === undefined) return false
        accounts.set(jid, { ...account, ...change })
        return true
      }),
    delete: (jid) => queue.write(() => accounts.delete(jid)),
    list: (domain, { after = '', limit = Number.POSITIVE_INFINITY } = {}) =>
      queue.read(() =>
        ofDomain(domain)
          .filter((account) => compareCodePoints(account.jid, after) > 0)
          .sort((a, b) => compareCodePoints(a.jid, b.jid))
          .slice(0, limit),
      ),
    count: (domain) => queue.read(() => ofDomain(domain).length),
  }
}
