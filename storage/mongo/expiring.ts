import type { Clock } from '#server/base/clock.ts'
import type { Expiring } from '../shapes.ts'
import { checkTextKey } from '../text-key.ts'
import { checkedJson } from './checked-json.ts'
import type { ExpiringDocument } from './collections.ts'
import { beginningWith, part } from './keys.ts'
import { ask, type Session } from './session.ts'

/** How much longer than needed the database keeps what has ended: clocks of machines differ. */
const SLACK_MS = 60_000

/** Keeps expiring values, by store and key. Whether one has ended is asked of our clock; the database removes it some time later. */
export const mongoExpiring = <T>(session: Session, store: string, nowMs: () => number, clock: Clock): Expiring<T> => {
  const { expiring } = session.collections
  const prefix = `${part(store)} `
  const scope = `expiring ${store}`
  const run = <R>(key: string | undefined, isWrite: boolean, command: (signal: AbortSignal) => Promise<R>): Promise<R> =>
    session.order.run(scope, key, isWrite, () => ask(session, command))
  const living = (found: ExpiringDocument | null, atMs: number): T | undefined =>
    found !== null && found.x > atMs ? JSON.parse(found.v) : undefined
  return {
    async get(key) {
      const [_id, atMs] = [prefix + checkTextKey(key), nowMs()]
      return run(key, false, async (signal) => living(await expiring.findOne({ _id }, { signal }), atMs))
    },
    async put(key, value, expiresAtMs) {
      const document = {
        _id: prefix + checkTextKey(key),
        v: checkedJson(value),
        x: expiresAtMs,
        e: new Date(clock.nowMs() + Math.max(0, expiresAtMs - nowMs()) + SLACK_MS),
      }
      return session.order.run(scope, key, true, () => session.committer.put('expiring', document))
    },
    async take(key) {
      const [_id, atMs] = [prefix + checkTextKey(key), nowMs()]
      return run(key, true, async () => living(await expiring.findOneAndDelete({ _id }), atMs))
    },
    async delete(key) {
      const [_id, atMs] = [prefix + checkTextKey(key), nowMs()]
      return run(key, true, async () => living(await expiring.findOneAndDelete({ _id }), atMs) !== undefined)
    },
    async list(keyPrefix) {
      const [all, atMs] = [beginningWith(prefix + checkTextKey(keyPrefix)), nowMs()]
      return run(undefined, false, async () =>
        (
          await expiring
            .find({ _id: all, x: { $gt: atMs } })
            .sort({ _id: 1 })
            .toArray()
        ).map(({ _id, v, x }) => ({
          key: _id.slice(prefix.length),
          value: JSON.parse(v),
          expiresAtMs: x,
        })),
      )
    },
  }
}
