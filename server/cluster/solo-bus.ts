import type { Clock } from '#server/base/clock.ts'
import type { Logger } from '#server/base/log.ts'
import type { Bus, NodeId } from '#server/core/bus.ts'
import type { Carrier } from './carrier.ts'
import { Links } from './links.ts'

const nowhere: Carrier = {
  start: async () => {},
  carry: () => false,
  queuedBytes: () => 0,
  drop() {},
  close: async () => {},
}

/** The bus of a server of one process: there is nobody but itself. */
export const openSoloBus = (options: { readonly self: NodeId; readonly clock: Clock; readonly log: Logger }): Promise<Bus> =>
  Links.open(nowhere, options)
