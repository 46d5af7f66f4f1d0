import { describeFault, type Fault } from './schedule.ts'
import type { Second } from './timeline.ts'

const WIDTH = 1200
const LEFT = 50
const RIGHT = 20
const RATES = { top: 90, height: 220 }
const CLIENTS = { top: 370, height: 120 }
const HEIGHT = 560
const COLOURS = {
  'node-killed': '#c0392b',
  'node-stopped': '#d35400',
  'redis-killed': '#8e44ad',
  'database-killed': '#2c3e50',
  'half-open': '#16a085',
  cut: '#7f8c8d',
} as const

/** Draws a run: messages acknowledged and received a second, clients online, and when what was done. */
export const plot = (seconds: readonly Second[], faults: readonly Fault[], calmAtMs: number): string => {
  const across = (atMs: number) => LEFT + (atMs / 1000 / Math.max(1, seconds.length)) * (WIDTH - LEFT - RIGHT)
  const most = (of: (second: Second) => number) => Math.max(1, ...seconds.map(of))
  const rate = most(({ acked, received }) => Math.max(acked, received))
  const clients = most(({ wanted, online }) => Math.max(wanted, online))
  const line = (of: (second: Second) => number, limit: number, { top, height }: typeof RATES, style: string) =>
    `<polyline fill="none" ${style} points="${seconds
      .map((second, at) => `${across(at * 1000 + 500).toFixed(1)},${(top + height - (of(second) / limit) * height).toFixed(1)}`)
      .join(' ')}"/>`
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="white"/>`,
    ...faults.map((fault) => {
      const [from, until] = [across(fault.atMs), across(fault.atMs + fault.forMs)]
      const bottom = CLIENTS.top + CLIENTS.height
      return (
        `<rect x="${from.toFixed(1)}" y="${RATES.top}" width="${Math.max(1.5, until - from).toFixed(1)}" height="${bottom - RATES.top}" ` +
        `fill="${COLOURS[fault.kind]}" fill-opacity="0.3"><title>${(fault.atMs / 1000).toFixed(1)} s: ${describeFault(fault)}</title></rect>`
      )
    }),
    `<line x1="${across(calmAtMs)}" y1="${RATES.top}" x2="${across(calmAtMs)}" y2="${CLIENTS.top + CLIENTS.height}" stroke="#999" stroke-dasharray="4 4"/>`,
    `<text x="${across(calmAtMs) + 4}" y="${RATES.top + 12}" fill="#666">calm</text>`,
    ...axes(RATES, rate, 'messages a second'),
    ...axes(CLIENTS, clients, 'clients'),
    line(({ received }) => received, rate, RATES, 'stroke="#2980b9" stroke-width="1.2"'),
    line(({ acked }) => acked, rate, RATES, 'stroke="#27ae60" stroke-width="1.2"'),
    line(({ wanted }) => wanted, clients, CLIENTS, 'stroke="#aaa" stroke-dasharray="3 2"'),
    line(({ online }) => online, clients, CLIENTS, 'stroke="#34495e" stroke-width="1.2"'),
    line(({ unserved }) => unserved, clients, CLIENTS, 'stroke="#e74c3c" stroke-width="1"'),
    ...ticks(seconds.length, across),
    ...legend(
      [
        ['#27ae60', 'acknowledged'],
        ['#2980b9', 'received'],
        ['#34495e', 'online'],
        ['#aaa', 'meant to be online'],
        ['#e74c3c', 'not served'],
      ],
      30,
    ),
    ...legend(
      Object.entries(COLOURS).map(([kind, colour]) => [colour, kind.replace('-', ' ')]),
      55,
    ),
    '</svg>\n',
  ].join('\n')
}

const axes = ({ top, height }: typeof RATES, limit: number, title: string): readonly string[] => [
  `<rect x="${LEFT}" y="${top}" width="${WIDTH - LEFT - RIGHT}" height="${height}" fill="none" stroke="#ccc"/>`,
  `<text x="${LEFT}" y="${top - 6}" fill="#333">${title}</text>`,
  `<text x="${LEFT - 6}" y="${top + 10}" text-anchor="end">${limit}</text>`,
  `<text x="${LEFT - 6}" y="${top + height}" text-anchor="end">0</text>`,
]

const ticks = (seconds: number, across: (atMs: number) => number): readonly string[] => {
  const step = [5, 10, 30, 60].find((each) => seconds / each <= 20) ?? 120
  return Array.from({ length: Math.floor(seconds / step) + 1 }, (_, at) => {
    const x = across(at * step * 1000).toFixed(1)
    return `<text x="${x}" y="${CLIENTS.top + CLIENTS.height + 18}" text-anchor="middle">${at * step} s</text>`
  })
}

const legend = (entries: readonly (readonly [string, string])[], y: number): readonly string[] =>
  entries.map(
    ([colour, text], at) =>
      `<rect x="${LEFT + at * 150}" y="${y - 9}" width="12" height="9" fill="${colour}"/><text x="${LEFT + at * 150 + 17}" y="${y}">${text}</text>`,
  )
