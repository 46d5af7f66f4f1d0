import { randomOctets } from '#server/base/random.ts'
import type { Accounts } from '#server/core/accounts.ts'
import { hashFacts, keysFrom, SALT_BYTES, scramHashes } from '#server/core/credentials.ts'
import { type Element, el } from '#stanzas/element.ts'
import type { BareJid } from '#stanzas/jid.ts'
import type { Account, ScramHash } from '#storage/shapes.ts'

const NS_UPGRADE = 'urn:xmpp:sasl:upgrade:0'
const NS_SCRAM_UPGRADE = 'urn:xmpp:scram-upgrade:0'

/** Keys that an account has not got yet and that its client is asked for, and the salt it was told. */
export interface UpgradeTask {
  readonly hash: ScramHash
  salt: Buffer | undefined
}

const taskName = (hash: ScramHash): string => `UPGR-SCRAM-${hash}`

/** The upgrades that a server with these mechanisms supports (XEP-0480 §2.1); the same for all, since another list for some would tell which accounts there are. */
export const upgradeOffers = (mechanisms: readonly string[]): readonly Element[] =>
  scramHashes
    .filter((hash) => mechanisms.some((name) => name === `SCRAM-${hash}` || name === `SCRAM-${hash}-PLUS`))
    .map((hash) => el(NS_UPGRADE, 'upgrade', {}, taskName(hash)))

/** The hashes that a client offers to upgrade to (XEP-0480 §2.2). */
export const parseUpgrades = (authenticate: Element, offers: readonly Element[]): readonly ScramHash[] => {
  const asked = authenticate.getChildren('upgrade', NS_UPGRADE).map((upgrade) => upgrade.text().trim())
  if (asked.length === 0) return []
  return scramHashes.filter((hash) => asked.includes(taskName(hash)) && offers.some((offer) => offer.text() === taskName(hash)))
}

/** What of it the account lacks. */
export const upgradesDue = (account: Account, asked: readonly ScramHash[]): readonly UpgradeTask[] =>
  asked.filter((hash) => account.credentials.scram[hash] === undefined).map((hash) => ({ hash, salt: undefined }))

/** Names the task for `<tasks/>` (XEP-0388 §2.6.3). */
export const nameOf = ({ hash }: UpgradeTask): string => taskName(hash)

/** XEP-0480 §3: with what the client is to salt its password. */
export const saltFor = (task: UpgradeTask, accounts: Accounts): Element => {
  task.salt = randomOctets(SALT_BYTES)
  return el(NS_SCRAM_UPGRADE, 'salt', { iterations: String(accounts.iterations) }, task.salt.toString('base64'))
}

/** Keeps the keys that follow from the client's answer; `false` when that is none. */
export const takeHash = async (task: UpgradeTask, taskData: Element, account: BareJid, accounts: Accounts): Promise<boolean> => {
  const text = taskData.getChildText('hash', NS_SCRAM_UPGRADE)?.trim()
  const salted = text === undefined || !/^[A-Za-z0-9+/]+={0,2}$/.test(text) ? undefined : Buffer.from(text, 'base64')
  if (task.salt === undefined || salted?.length !== hashFacts[task.hash].bytes) return false
  await accounts.addKeys(account, task.hash, keysFrom(task.hash, salted, task.salt, accounts.iterations))
  return true
}
