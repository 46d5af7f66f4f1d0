import type { HostProfile } from './api.ts'
import type { Contents, Place } from './contents.ts'
import type { NodeConfig } from './node-config.ts'
import type { Change } from './node-store.ts'
import type { Prepared } from './publish-part.ts'
import { itemKey, placeKey } from './stored.ts'
import type { Places } from './upcoming.ts'

/** How many items a node keeps. */
export const roomOf = ({ maxItems }: NodeConfig, { limits }: HostProfile): number =>
  maxItems === 'max' ? limits.itemsPerNode : Math.min(maxItems, limits.itemsPerNode)

/** The oldest items that have to go so that there is room (XEP-0060 §7.1.2.5); `staying` are those that are there or will be. */
export const overflow = (
  places: Places,
  staying: ReadonlySet<string>,
  expired: readonly string[],
  room: number,
): readonly string[] => {
  let excess = places.size - expired.length - room
  for (const id of staying) if (!places.has(id)) excess++
  if (excess <= 0) return []
  const over = new Set(expired)
  const evicted: string[] = []
  for (const id of places.keys()) {
    if (evicted.length === excess) break
    if (!staying.has(id) && !over.has(id)) evicted.push(id)
  }
  return evicted
}

/** What stores an item at its place. */
export const addition = (name: string, { item, text }: Prepared, place: Place): readonly Change[] => [
  { key: placeKey(name, item.id), value: { kind: 'place', ...place } },
  {
    key: itemKey(name, place.seq),
    value: {
      kind: 'item',
      id: item.id,
      publisher: item.publisher,
      atMs: item.publishedAtMs,
      ...(text !== undefined && { payload: text }),
    },
  },
]

/** What removes items of a node. */
export const removals = (name: string, contents: Contents, ids: readonly string[]): readonly Change[] =>
  ids.flatMap((id) => {
    const place = contents.places.get(id)
    const ofPlace: Change = { key: placeKey(name, id), value: undefined }
    return place === undefined ? [ofPlace] : [ofPlace, { key: itemKey(name, place.seq), value: undefined }]
  })
