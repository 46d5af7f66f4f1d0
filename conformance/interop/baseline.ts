/** How a foreign test ended: impossible means that the server offers nothing to test. */
export type Outcome = 'passed' | 'failed' | 'impossible'

/** One foreign test's result. */
export type Result = {
  readonly test: string
  readonly outcome: Outcome
  readonly milliseconds: number
  /** Why it did not pass; empty when it did. */
  readonly reason: string
}

/** Outcomes by test, as they are checked in. */
export type Baseline = Readonly<Record<string, Outcome>>

/** What a run changed against the baseline. */
export type Comparison = {
  /** Tests that passed once and do not any more. */
  readonly worse: readonly string[]
  /** Tests that pass and did not before. */
  readonly better: readonly string[]
}

/** Reads the lines that Results.java writes. */
export const readResults = (text: string): readonly Result[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [outcome = '', test = '', milliseconds = '0', reason = ''] = line.split('\t')
      if (!isOutcome(outcome)) throw new Error(`not a result: ${line}`)
      return { test, outcome, milliseconds: Number(milliseconds), reason }
    })

/** A line of the framework's log that says how far a test is. */
export const readStep = (line: string): { readonly test: string; readonly said: string } | undefined => {
  const [, name, type, connection, said] =
    /^\w+: (\w+\.\w+) \((\w+)(?:, ([\w, -]+))?\) (Start|Success|Failed|Not possible)/.exec(line) ?? []
  if (name === undefined || type === undefined || said === undefined) return undefined
  return { test: connection === undefined ? name : `${name} (${connection})`, said }
}

/** The results that the log tells of, for a run that ended before it wrote them. */
export const readLog = (log: readonly string[]): readonly Result[] =>
  log.flatMap((line) => {
    const step = readStep(line)
    const outcome = saidOutcomes.get(step?.said ?? '')
    if (step === undefined || outcome === undefined) return []
    return [{ test: step.test, outcome, milliseconds: 0, reason: outcome === 'passed' ? '' : line }]
  })

/** Compares a run with the baseline; a test that a whole run no longer has counts as lost. */
export const compare = (baseline: Baseline, results: readonly Result[], isWhole: boolean): Comparison => {
  const now = new Map(results.map(({ test, outcome }) => [test, outcome]))
  const passedBefore = (test: string) => baseline[test] === 'passed'
  return {
    worse: Object.keys(baseline).filter((test) => passedBefore(test) && now.get(test) !== 'passed' && (isWhole || now.has(test))),
    better: [...now.keys()].filter((test) => now.get(test) === 'passed' && !passedBefore(test)),
  }
}

/** Puts the results of a second try in the place of the first one's, and adds those the first did not come to. */
export const withSecondTry = (first: readonly Result[], second: readonly Result[]): readonly Result[] => {
  const tests = new Map([...first, ...second].map((result) => [result.test, result]))
  return [...tests.values()]
}

/** The baseline a run makes, in the order of its tests' names. */
export const baselineOf = (results: readonly Result[]): Baseline =>
  Object.fromEntries(results.map(({ test, outcome }) => [test, outcome] as const).toSorted(([a], [b]) => (a < b ? -1 : 1)))

/** The test class of a test's name, `Class.method (connection)`. */
export const classOf = (test: string): string => test.split('.')[0] ?? test

const isOutcome = (text: string): text is Outcome => text === 'passed' || text === 'failed' || text === 'impossible'

const saidOutcomes: ReadonlyMap<string, Outcome> = new Map([
  ['Success', 'passed'],
  ['Failed', 'failed'],
  ['Not possible', 'impossible'],
])
