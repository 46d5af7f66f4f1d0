import type { NodeId } from '#server/core/bus.ts'
import type { Home, Homes } from '#server/core/homes.ts'

const MINE: Home = { kind: 'mine' }

/** The homes of a server of one process: everything is at home here. */
export const soloHomes = (self: NodeId): Homes => ({
  self,
  number: 0,
  isValid: () => true,
  known: () => MINE,
  claim: async () => MINE,
  homeOf: async () => MINE,
  forget() {},
  release: async () => {},
  onLost() {},
  onFenced() {},
  close: async () => {},
})
