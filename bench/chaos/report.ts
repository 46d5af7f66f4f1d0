import type { Message } from './books.ts'
import { describeFault } from './schedule.ts'
import type { Recovery } from './timeline.ts'
import { PROMISES, type Verdict, type Violation } from './verdict.ts'

/** What a report says beside the verdict. */
export type Facts = {
  readonly title: readonly string[]
  readonly counts: Readonly<Record<string, number | string>>
  readonly recoveries: readonly Recovery[]
}

const SHOWN = 20

/** The whole report in Markdown. */
export const markdown = ({ violations, notes }: Verdict, { title, counts, recoveries }: Facts): string => {
  const broken = Object.entries(PROMISES).map(([promise, text]) => [
    text,
    violations.filter((each) => each.promise === promise).length,
  ])
  return [
    `# Chaos run: ${violations.length === 0 ? 'every promise kept' : `${violations.length} violations`}\n`,
    ...title,
    '',
    ...table(['promise: none of these', 'found'], broken),
    ...table(['done', ''], Object.entries(counts)),
    ...table(['not promised', 'found'], Object.entries(notes)),
    ...table(
      ['fault', 'times', 'all served again after, median', 'worst', 'one client unserved, median', 'worst', 'clients that were'],
      byKind(recoveries).map(([kind, all]) => {
        const outages = all.flatMap(({ outagesMs }) => outagesMs)
        const back = all.map(({ allBackMs }) => allBackMs)
        return [
          kind,
          all.length,
          seconds(median(back)),
          seconds(worst(back)),
          seconds(median(outages)),
          seconds(worst(outages)),
          outages.length,
        ]
      }),
    ),
    ...table(
      ['at', 'fault', 'all served again after', 'clients that were not'],
      recoveries.map(({ fault, allBackMs, outagesMs }) => [
        seconds(fault.atMs),
        describeFault(fault),
        seconds(allBackMs),
        outagesMs.length,
      ]),
    ),
    ...(violations.length === 0 ? [] : ['## The first violations\n', ...violations.slice(0, SHOWN).map(describeViolation), '']),
  ].join('\n')
}

/** A violation with all that clients know about its message. */
export const describeViolation = ({ promise, what, message, after }: Violation): string =>
  [
    `- ${promise}: ${message === undefined ? '' : `${message.id}, `}${what}`,
    ...(message === undefined ? [] : history(message)),
    ...(after === undefined ? [] : [`  - ${after.id}, which it came behind:`, ...history(after).map((line) => `  ${line}`)]),
  ].join('\n')

const history = ({ writes, copies, ackedAtMs, refused }: Message): readonly string[] => [
  `  - written ${writes.map(({ atMs, node, session }) => `${seconds(atMs)} to ${node} (session ${session})`).join(', ') || 'never'}`,
  `  - acknowledged ${ackedAtMs === undefined ? 'never' : seconds(ackedAtMs)}${refused === undefined ? '' : `, refused: ${refused}`}`,
  ...copies.map(
    ({ device, atMs, node, session, stanzaId }) =>
      `  - at ${device} ${seconds(atMs)} over ${node} (session ${session}), stanza-id ${stanzaId ?? 'none'}`,
  ),
]

const table = (head: readonly string[], rows: readonly (readonly (string | number)[])[]): readonly string[] =>
  rows.length === 0 ? [] : [...[head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`), '']

const byKind = (recoveries: readonly Recovery[]): readonly (readonly [string, readonly Recovery[]])[] =>
  [...new Set(recoveries.map(({ fault }) => fault.kind))]
    .sort()
    .map((kind) => [kind, recoveries.filter(({ fault }) => fault.kind === kind)])

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`
const worst = (values: readonly number[]): number => Math.max(0, ...values)
const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0
