import { usernameOf } from '../client/accounts.ts'

/** Who a device is: what it can do, how it behaves, and whom it writes to. */
export type DevicePlan = {
  /** Unique in a run: account and resource. */
  readonly name: string
  readonly account: string
  readonly resource: string
  /** Whether it does XEP-0198 and resumes. */
  readonly resumes: boolean
  /** Whether it goes away and comes back during the run. */
  readonly roams: boolean
  readonly peers: readonly string[]
}

const GROUP = 4

/**
 * Half of the accounts write to each other in pairs, the others in small groups, each member to all others. Of the accounts every sixth has two
 * devices, every eighth has no XEP-0198, every fourth goes away and comes back.
 */
export const population = (accounts: number): readonly DevicePlan[] => {
  const paired = Math.floor(accounts / 4) * 2
  const peersOf = (index: number): readonly string[] => {
    if (index < paired) return [usernameOf(index ^ 1)]
    const first = paired + Math.floor((index - paired) / GROUP) * GROUP
    const members = Array.from({ length: GROUP }, (_, at) => first + at).filter((at) => at < accounts && at !== index)
    return (members.length > 0 ? members : [0]).map(usernameOf)
  }
  return Array.from({ length: accounts }, (_, index) => index).flatMap((index) => {
    const account = usernameOf(index)
    const resources = index % 6 === 5 ? ['phone', 'laptop'] : ['phone']
    return resources.map((resource) => ({
      name: `${account}.${resource}`,
      account,
      resource,
      resumes: index % 8 !== 3,
      roams: index % 4 === 2,
      peers: peersOf(index),
    }))
  })
}
