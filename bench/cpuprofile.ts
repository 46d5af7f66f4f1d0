/** The part of V8's .cpuprofile format that is read here: a tree of nodes, and which of them was running at each sample. */
export type CpuProfile = {
  readonly nodes: readonly ProfileNode[]
  readonly samples: readonly number[]
  /** Microseconds since the sample before. */
  readonly timeDeltas: readonly number[]
}

export type ProfileNode = {
  readonly id: number
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  readonly children?: readonly number[]
}

export type Cost = { readonly name: string; readonly selfMs: number; readonly totalMs: number }

export type Summary = {
  readonly busyMs: number
  readonly windowMs: number
  readonly functions: readonly Cost[]
  readonly files: readonly Cost[]
}

/** Sums up the busiest stretch of a profile, which is the load and neither the start nor the end: by function and by file. */
export function summarize(profile: CpuProfile, windowMs: number): Summary {
  const byId = new Map(profile.nodes.map((node) => [node.id, node]))
  const selfUs = selfTimes(profile, byId, windowMs)
  const functions = new Tally()
  const files = new Tally()
  const root = profile.nodes[0]
  if (root !== undefined) visit(root, byId, selfUs, [functions, files], [new Set(), new Set()])
  let busyUs = 0
  for (const [id, us] of selfUs) if (!isWaiting(byId.get(id))) busyUs += us
  return { busyMs: busyUs / 1000, windowMs, functions: functions.costs(), files: files.costs() }
}

/** Splits the time of the busiest stretch by who asked for it, in shares of it: what the platform does is its caller's. `groupOf` names a file's group, or nothing for the platform's own. */
export function sharesOf(
  profile: CpuProfile,
  windowMs: number,
  groupOf: (url: string) => string | undefined,
): ReadonlyMap<string, number> {
  const byId = new Map(profile.nodes.map((node) => [node.id, node]))
  const selfUs = selfTimes(profile, byId, windowMs)
  let busyUs = 0
  for (const [id, us] of selfUs) if (byId.get(id)?.callFrame.functionName !== '(idle)') busyUs += us
  const shares = new Map<string, number>()
  const visitAll = (node: ProfileNode, callers: string): void => {
    const { url, functionName } = node.callFrame
    const isCollector = functionName === '(garbage collector)'
    const group = isCollector ? 'garbage collector' : ((url === '' ? undefined : groupOf(url)) ?? callers)
    if (functionName !== '(idle)') shares.set(group, (shares.get(group) ?? 0) + (selfUs.get(node.id) ?? 0) / busyUs)
    for (const id of node.children ?? []) {
      const child = byId.get(id)
      if (child !== undefined) visitAll(child, group)
    }
  }
  const [root] = profile.nodes
  if (root !== undefined) visitAll(root, 'Node')
  return shares
}

function selfTimes(profile: CpuProfile, byId: ReadonlyMap<number, ProfileNode>, windowMs: number): ReadonlyMap<number, number> {
  const selfUs = new Map<number, number>()
  const { from, to } = busiest(profile, byId, windowMs * 1000)
  for (let at = from; at < to; at++) {
    const id = profile.samples[at] ?? 0
    selfUs.set(id, (selfUs.get(id) ?? 0) + (profile.timeDeltas[at] ?? 0))
  }
  return selfUs
}

class Tally {
  readonly #us = new Map<string, { self: number; total: number }>()

  add(name: string, self: number, total: number): void {
    const entry = this.#us.get(name) ?? { self: 0, total: 0 }
    this.#us.set(name, { self: entry.self + self, total: entry.total + total })
  }

  costs(): readonly Cost[] {
    return [...this.#us]
      .map(([name, { self, total }]) => ({ name, selfMs: self / 1000, totalMs: total / 1000 }))
      .sort((a, b) => b.selfMs - a.selfMs)
  }
}

// Answers with the time spent in the node and below. A name already on the stack gets no second total, or recursion counts twice.
function visit(
  node: ProfileNode,
  byId: ReadonlyMap<number, ProfileNode>,
  selfUs: ReadonlyMap<number, number>,
  tallies: readonly [Tally, Tally],
  onStack: readonly [ReadonlySet<string>, ReadonlySet<string>],
): number {
  const names = [functionOf(node), fileOf(node)] as const
  const self = selfUs.get(node.id) ?? 0
  let total = self
  const isRoot = node.callFrame.functionName === '(root)'
  const below = isRoot ? onStack : ([new Set(onStack[0]).add(names[0]), new Set(onStack[1]).add(names[1])] as const)
  for (const id of node.children ?? []) {
    const child = byId.get(id)
    if (child !== undefined) total += visit(child, byId, selfUs, tallies, below)
  }
  if (isRoot || isWaiting(node)) return total
  for (const index of [0, 1] as const) tallies[index].add(names[index], self, onStack[index].has(names[index]) ? 0 : total)
  return total
}

// A window slides over the samples; the best one is that with the least waiting.
function busiest(
  profile: CpuProfile,
  byId: ReadonlyMap<number, ProfileNode>,
  windowUs: number,
): { readonly from: number; readonly to: number } {
  const { samples, timeDeltas } = profile
  const busy = samples.map((id, at) => (isWaiting(byId.get(id)) ? 0 : (timeDeltas[at] ?? 0)))
  let best = { from: 0, to: samples.length, busyUs: -1 }
  let from = 0
  let lengthUs = 0
  let busyUs = 0
  for (let at = 0; at < samples.length; at++) {
    lengthUs += timeDeltas[at] ?? 0
    busyUs += busy[at] ?? 0
    for (; lengthUs > windowUs && from < at; from++) {
      lengthUs -= timeDeltas[from] ?? 0
      busyUs -= busy[from] ?? 0
    }
    if (busyUs > best.busyUs) best = { from, to: at + 1, busyUs }
  }
  return best
}

function isWaiting(node: ProfileNode | undefined): boolean {
  const name = node?.callFrame.functionName
  return name === '(idle)' || name === '(program)'
}

function functionOf({ callFrame }: ProfileNode): string {
  const { functionName, url, lineNumber } = callFrame
  const name = functionName === '' ? '(anonymous)' : functionName
  return url === '' ? name : `${name} ${shorten(url)}:${lineNumber + 1}`
}

function fileOf({ callFrame }: ProfileNode): string {
  if (callFrame.url !== '') return shorten(callFrame.url)
  return callFrame.functionName === '(garbage collector)' ? '(garbage collector)' : '(native)'
}

function shorten(url: string): string {
  const project = new URL('..', import.meta.url).href
  return url.startsWith(project) ? url.slice(project.length) : url.replace(/^file:\/\/.*\//, '')
}
