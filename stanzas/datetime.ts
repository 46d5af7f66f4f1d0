/** Writes a moment in the DateTime profile (XEP-0082 §3.2), in UTC and with milliseconds. */
export const formatDateTime = (atMs: number): string => new Date(atMs).toISOString()

const DATE_TIME = /^(\d{4}-\d\d-\d\d)T((?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)(?:\.(\d+))?(?:Z|([+-])(\d\d):([0-5]\d))$/
// XML Schema part 2 §3.2.7.3: no zone is further from UTC than fourteen hours.
const MAX_OFFSET_MINUTES = 14 * 60

/** Reads a DateTime (XEP-0082 §3.2) as milliseconds, finer fractions cut off; `undefined` when it is none, or names a day that never was. */
export const parseDateTime = (text: string): number | undefined => {
  const match = DATE_TIME.exec(text)
  if (match === null) return undefined
  const [, date = '', time = '', fraction = '', sign = '+', hours = '0', minutes = '0'] = match
  const offsetMinutes = Number(hours) * 60 + Number(minutes)
  const localMs = Date.parse(`${date}T${time}.${fraction.padEnd(3, '0').slice(0, 3)}Z`)
  // Date.parse turns 30 February into 2 March where it does not refuse it.
  if (offsetMinutes > MAX_OFFSET_MINUTES || Number.isNaN(localMs) || !new Date(localMs).toISOString().startsWith(date))
    return undefined
  return localMs - (sign === '-' ? -offsetMinutes : offsetMinutes) * 60_000
}
