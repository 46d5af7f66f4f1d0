import { cpus, totalmem } from 'node:os'
import { BUDGETS, type Budget } from './budgets.ts'
import { FIGURES, type FigureName, type Sample, type Spread, show, spreadOf } from './figures.ts'
import type { AnyRow } from './scenarios/row.ts'

/** All runs of one row, by server. */
export type RowResult = {
  readonly row: AnyRow
  readonly samples: ReadonlyMap<string, readonly Sample[]>
  /** What was wrong in some run, by server. */
  readonly faults: ReadonlyMap<string, readonly string[]>
}

export type Verdict = { readonly budget: Budget; readonly text: string; readonly outcome: 'kept' | 'broken' | 'unknown' }

const OURS = 'waxwing'

/** The whole table in Markdown: a section a row, what was measured, the ratios, then the budgets. */
export function markdown(results: readonly RowResult[], runs: number): string {
  return [
    `${cpus().length} processors, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.versions.node}; min / **median** / max of ${runs} ${runs === 1 ? 'run' : 'runs'}.`,
    ...results.map(section),
    '\n## Budgets\n',
    ...judge(results).map(({ outcome, text }) => `- ${outcome === 'unknown' ? 'not measured' : outcome}: ${text}`),
    '',
  ].join('\n')
}

/** The same for programs. */
export function json(results: readonly RowResult[], runs: number): unknown {
  return {
    runs,
    node: process.versions.node,
    processors: cpus().length,
    rows: results.map(({ row, samples, faults }) => ({
      id: row.id,
      title: row.title,
      unit: row.unit,
      servers: Object.fromEntries(
        [...samples].map(([server, taken]) => [
          server,
          {
            figures: Object.fromEntries(
              row.figures.map((name) => [name, spread(taken, name)]).filter(([, found]) => found !== undefined),
            ),
            faults: faults.get(server) ?? [],
          },
        ]),
      ),
    })),
    budgets: judge(results).map(({ budget, outcome, text }) => ({ ...budget, outcome, text })),
  }
}

/** Whether each budget of the measured rows is kept, by medians. */
export function judge(results: readonly RowResult[]): readonly Verdict[] {
  const measured = new Map(results.map((result) => [result.row.id, result]))
  return BUDGETS.filter(({ row }) => measured.has(row)).map((budget): Verdict => {
    const { row, figure } = budget
    const value = median(measured.get(row), OURS, figure)
    const limit = limitOf(budget, measured)
    const what = `${row}: ${FIGURES[figure].head}`
    if (value === undefined || limit.value === undefined) return { budget, outcome: 'unknown', text: `${what} (${limit.text})` }
    const isLeast = budget.kind === 'at-least'
    const text = `${what} ${show(figure, value)}, at ${isLeast ? 'least' : 'most'} ${show(figure, limit.value)} (${limit.text})`
    const isKept = isLeast ? value >= limit.value : value <= limit.value
    return { budget, text, outcome: isKept ? 'kept' : 'broken' }
  })
}

function limitOf(
  budget: Budget,
  measured: ReadonlyMap<string, RowResult>,
): { readonly value: number | undefined; readonly text: string } {
  const { row, figure } = budget
  const result = measured.get(row)
  switch (budget.kind) {
    case 'at-most':
    case 'at-least':
      return { value: budget.value, text: 'an absolute figure' }
    case 'of-better-peer': {
      const peers = peersOf(result)
      const values = peers.map((name) => median(result, name, figure)).filter((value) => value !== undefined)
      const text = `1/${Math.round(1 / budget.share)} of the better of ${peers.join(', ') || 'the peers'}`
      return { value: values.length === 0 ? undefined : Math.min(...values) * budget.share, text }
    }
    case 'of-row': {
      const other = median(measured.get(budget.other), OURS, figure)
      return { value: other === undefined ? undefined : other * budget.times, text: `${budget.times} × ${budget.other}` }
    }
    case 'above': {
      const base = median(result, OURS, budget.base)
      return { value: base === undefined ? undefined : base + budget.by, text: `${FIGURES[budget.base].head} + ${budget.by}` }
    }
  }
}

function section({ row, samples, faults }: RowResult): string {
  const head = ['server', ...row.figures.map((name) => FIGURES[name].head), ...(samples.size > 1 ? ['waxwing is'] : [])]
  const ours = spread(samples.get(OURS) ?? [], row.main)?.median
  const lines = [...samples].map(([server, taken]) => {
    const cells = row.figures.map((name) => cell(name, spread(taken, name)))
    const theirs = spread(taken, row.main)?.median
    return [server, ...cells, ...(samples.size > 1 ? [server === OURS ? '' : ratio(ours, theirs)] : [])]
  })
  const table = [head, head.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |`)
  const wrong = [...faults].filter(([, texts]) => texts.length > 0).map(([server, texts]) => `\n${server}: ${texts.join('; ')}`)
  return [`\n## ${row.id}: ${row.title}, per ${row.unit}\n`, ...table, ...wrong].join('\n')
}

function cell(name: FigureName, found: Spread | undefined): string {
  if (found === undefined) return '–'
  const { min, median: middle, max } = found
  return min === max ? `**${show(name, middle)}**` : `${show(name, min)} / **${show(name, middle)}** / ${show(name, max)}`
}

function ratio(ours: number | undefined, theirs: number | undefined): string {
  return ours === undefined || theirs === undefined || theirs === 0 ? '–' : `${(ours / theirs).toFixed(2)} × this`
}

function peersOf(result: RowResult | undefined): readonly string[] {
  return [...(result?.samples.keys() ?? [])].filter((name) => name !== OURS)
}

function median(result: RowResult | undefined, server: string, name: FigureName): number | undefined {
  return spread(result?.samples.get(server) ?? [], name)?.median
}

function spread(taken: readonly Sample[], name: FigureName): Spread | undefined {
  const values = taken.map((sample) => sample[name]).filter((value) => value !== undefined)
  return values.length === 0 ? undefined : spreadOf(values)
}
