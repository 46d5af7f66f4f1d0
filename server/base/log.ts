import { pino } from 'pino'
import { prettyFactory } from 'pino-pretty'

/** What a line says beside its event; `error` takes whatever was thrown. */
export type LogFields = Readonly<Record<string, unknown>>

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'fatal'

/** Writes facts in kebab-case with fields: `log.info('session-resumed', { jid, resent: 3 })`. */
export interface Logger {
  debug(event: string, fields?: LogFields): void
  info(event: string, fields?: LogFields): void
  warn(event: string, fields?: LogFields): void
  error(event: string, fields?: LogFields): void
  fatal(event: string, fields?: LogFields): void
  /** A logger whose lines all carry these fields. */
  child(fields: LogFields): Logger
}

/** Takes lines; on a terminal they are for people. */
export interface LogDestination {
  write(line: string): unknown
  readonly isTTY?: boolean
}

/** How lines are written. */
export interface LogOptions {
  readonly level: Exclude<LogLevel, 'fatal'>
  readonly format: 'auto' | 'json' | 'pretty'
  /** Where lines go; standard error when nothing is said. */
  readonly to?: LogDestination
}

/** Fields that may hold what nobody but its owner should read; a slip here must not reach a file. */
const SECRET =
  /^(?:.*(?:password|passphrase|secret|token|credential|authorization|privatekey|storedkey|serverkey)s?|stanza|body|xml|wire|payload|content)$/i

const REDACTED = '[redacted]'

const redact = (fields: LogFields): LogFields => {
  let clean: Record<string, unknown> | undefined
  for (const key in fields) {
    if (SECRET.test(key)) {
      clean ??= { ...fields }
      clean[key] = REDACTED
    }
  }
  return clean ?? fields
}

/** In a line of JSON: what moves a terminal's cursor, changes its colours or turns its text round. Peers choose ids and names; a pair of backslashes is text. */
const CONTROL = /\\\\|\\u00[01][0-9a-f]|\\[bf]|[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g
const tamed = (line: string): string => line.replace(CONTROL, (found) => (found === '\\\\' ? found : '\ufffd'))

/** A logger that writes JSON lines, or prose on a terminal. */
export const createLog = (options: LogOptions): Logger => {
  const to = options.to ?? process.stderr
  const isPretty = options.format === 'pretty' || (options.format === 'auto' && to.isTTY === true)
  const pretty = isPretty
    ? prettyFactory({ ignore: 'pid,hostname', colorize: to.isTTY === true, translateTime: 'SYS:HH:MM:ss.l', messageKey: 'event' })
    : undefined
  const root = pino(
    {
      level: options.level,
      base: null,
      messageKey: 'event',
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: pino.stdSerializers.err },
    },
    // Written at once and in this process, so that the last line before an exit is there.
    { write: (line: string) => void to.write(pretty === undefined ? line : pretty(tamed(line))) },
  )
  return wrap(root)
}

const ignore = (): void => {}

const wrap = (inner: pino.Logger): Logger => ({
  // Every connection says some things that hardly anybody wants to hear.
  debug: inner.isLevelEnabled('debug') ? (event, fields = {}) => inner.debug(redact(fields), event) : ignore,
  info: (event, fields = {}) => inner.info(redact(fields), event),
  warn: (event, fields = {}) => inner.warn(redact(fields), event),
  error: (event, fields = {}) => inner.error(redact(fields), event),
  fatal: (event, fields = {}) => inner.fatal(redact(fields), event),
  child: (fields) => wrap(inner.child(redact(fields))),
})

/** Writes nothing. */
export const nullLog: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  fatal() {},
  child: () => nullLog,
}

/** A line that a recording log has kept. */
export interface LogEntry {
  readonly level: LogLevel
  readonly event: string
  readonly fields: LogFields
}

/** A logger for tests that keeps its lines. */
export const recordingLog = (): { readonly log: Logger; readonly entries: readonly LogEntry[] } => {
  const entries: LogEntry[] = []
  const make = (base: LogFields): Logger => {
    const at =
      (level: LogLevel) =>
      (event: string, fields: LogFields = {}) =>
        void entries.push({ level, event, fields: { ...base, ...redact(fields) } })
    return {
      debug: at('debug'),
      info: at('info'),
      warn: at('warn'),
      error: at('error'),
      fatal: at('fatal'),
      child: (fields) => make({ ...base, ...redact(fields) }),
    }
  }
  return { log: make({}), entries }
}
