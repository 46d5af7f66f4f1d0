/** How much is done at once, while commits wait. Tests make all of it small. */
export interface Pace {
  /** When an indexing begins: the more, the more of an owner's entries lie together; a start after a crash reads as many back. */
  readonly entriesPerPass: number
  readonly marksPerPass: number
  /** Slices of it. */
  readonly ownersPerSlice: number
  readonly entriesPerSlice: number
  readonly marksPerSlice: number
  /** Entries that one question looks at, one after the other or here and there, before others have their turn. */
  readonly entriesPerLook: number
  readonly findsPerLook: number
  /** Entries that are looked through for those of a peer, and whose stanzas are read for their words, where no index has them yet. */
  readonly unsortedEntries: number
  readonly unreadEntries: number
  /** Steps in which these indexes are filled. */
  readonly peersPerStep: number
  readonly entriesPerStep: number
  readonly textsPerStep: number
  readonly wordsPerStep: number
}

/** Slices, steps and looks of some 5 ms at most. */
export const USUAL_PACE: Pace = {
  entriesPerPass: 40_000,
  marksPerPass: 20_000,
  ownersPerSlice: 400,
  entriesPerSlice: 4000,
  marksPerSlice: 2000,
  entriesPerLook: 50_000,
  findsPerLook: 2000,
  unsortedEntries: 1000,
  unreadEntries: 100,
  peersPerStep: 500,
  entriesPerStep: 4000,
  textsPerStep: 100,
  wordsPerStep: 4000,
}
