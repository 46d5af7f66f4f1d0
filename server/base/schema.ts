import * as v from 'valibot'

/**
 * What an operator may write in `waxwing.yaml`: sections of fields. A field says what it accepts, what it means and what holds when nothing is written,
 * so that the same declaration parses the file, explains a mistake and prints the configuration page. Units are in the type of the field:
 * durations become milliseconds, sizes become bytes.
 */

export type FieldType = 'boolean' | 'integer' | 'duration' | 'bytes' | 'text' | 'path' | 'choice' | 'list'

/** One value of the configuration: how it is read, what it means, and its default. */
export interface Field<T> {
  readonly kind: 'field'
  readonly type: FieldType
  readonly doc: string
  /** What holds when nothing is written. */
  readonly default: T
  /** The default as an operator would write it; empty when there is none. */
  readonly defaultText: string
  /** What may be written, as the end of "Write …". */
  readonly accepts: string
  readonly schema: v.GenericSchema<unknown, T>
}

/** A group of fields and further sections. */
export interface Section<S> {
  readonly kind: 'section'
  readonly doc: string
  readonly fields: S
}

/** The fields and sections of one section, by the key the operator writes. */
export interface SectionSchema {
  readonly [key: string]: Field<unknown> | Section<SectionSchema>
}

/** The readonly values that a schema yields. */
export type ConfigOf<S> = {
  readonly [K in keyof S]: S[K] extends Field<infer T> ? T : S[K] extends Section<infer Inner> ? ConfigOf<Inner> : never
}

/** A length of time as it is written. */
export type DurationText = `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`
/** A size as it is written: KiB is 1024 bytes, KB is 1000. */
export type BytesText = `${number} ${'B' | 'KB' | 'KiB' | 'MB' | 'MiB' | 'GB' | 'GiB'}`

const DURATION_UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const BYTE_UNITS: Readonly<Record<string, number>> = {
  B: 1,
  KB: 1000,
  KiB: 1024,
  MB: 1000 ** 2,
  MiB: 1024 ** 2,
  GB: 1000 ** 3,
  GiB: 1024 ** 3,
}

const inUnits = (text: string, units: Readonly<Record<string, number>>): number | undefined => {
  const [, amount, unit] = /^(\d+(?:\.\d+)?) ?([A-Za-z]+)$/.exec(text) ?? []
  const factor = unit === undefined ? undefined : units[unit]
  if (amount === undefined || factor === undefined) return undefined
  const value = Number(amount) * factor
  return Number.isSafeInteger(value) ? value : undefined
}

/** Milliseconds of `500ms`, `60s`, `5m`, `2h` or `7d`; `undefined` for anything else. */
export const parseDuration = (text: string): number | undefined => inUnits(text, DURATION_UNITS)

/** Bytes of `256 KiB` and the like; `undefined` for anything else. */
export const parseBytes = (text: string): number | undefined => inUnits(text, BYTE_UNITS)

/** The value as an operator recognises it, for a message about it. */
export const show = (value: unknown): string => {
  if (typeof value === 'string') return JSON.stringify(value)
  if (value === null || value === undefined) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  return typeof value === 'object' ? 'a section' : String(value)
}

const required = (parsed: number | undefined, text: string): number => {
  if (parsed === undefined) throw new Error(`the schema itself says ${text}, which does not parse`)
  return parsed
}

const reads = <T>(read: (written: unknown) => { readonly value: T } | { readonly reason: string }): v.GenericSchema<unknown, T> =>
  v.pipe(
    v.unknown(),
    v.rawTransform<unknown, T>(({ dataset, addIssue, NEVER }) => {
      const result = read(dataset.value)
      if ('value' in result) return result.value
      addIssue({ message: result.reason })
      return NEVER
    }),
  )

interface Described {
  readonly doc: string
}

const either = (words: readonly string[]): string => words.map((word) => `, or ${word}`).join('')

const limits = (min: string | undefined, max: string | undefined): string => {
  if (min !== undefined && max !== undefined) return ` from ${min} to ${max}`
  if (min !== undefined) return ` of at least ${min}`
  return max === undefined ? '' : ` of at most ${max}`
}

const outside = (value: number, min: number, max: number): 'below' | 'above' | undefined => {
  if (value < min) return 'below'
  return value > max ? 'above' : undefined
}

/** A field that is true or false. */
export const boolean = (options: Described & { readonly default: boolean }): Field<boolean> => ({
  kind: 'field',
  type: 'boolean',
  doc: options.doc,
  default: options.default,
  defaultText: String(options.default),
  accepts: 'true or false',
  schema: reads((written) =>
    typeof written === 'boolean' ? { value: written } : { reason: `${show(written)} is not true or false` },
  ),
})

interface IntegerOptions extends Described {
  readonly min?: number
  readonly max?: number
}

/** A whole number, or one of the words in `or`. */
export function integer(options: IntegerOptions & { readonly default: number }): Field<number>
export function integer<const W extends string>(
  options: IntegerOptions & { readonly default: number | NoInfer<W>; readonly or: readonly W[] },
): Field<number | W>
export function integer<W extends string>(
  options: IntegerOptions & { readonly default: number | W; readonly or?: readonly W[] },
): Field<number | W> {
  const { min = Number.MIN_SAFE_INTEGER, max = Number.MAX_SAFE_INTEGER, or = [] } = options
  return {
    kind: 'field',
    type: 'integer',
    doc: options.doc,
    default: options.default,
    defaultText: String(options.default),
    accepts: `a whole number${limits(options.min?.toString(), options.max?.toString())}${either(or)}`,
    schema: reads<number | W>((written) => {
      const word = or.find((each) => each === written)
      if (word !== undefined) return { value: word }
      if (typeof written !== 'number' || !Number.isSafeInteger(written))
        return { reason: `${show(written)} is not a whole number` }
      const side = outside(written, min, max)
      if (side !== undefined) return { reason: `${written} is ${side} the limit of ${side === 'below' ? min : max}` }
      return { value: written }
    }),
  }
}

interface Measure {
  readonly type: 'duration' | 'bytes'
  readonly noun: string
  readonly example: string
  readonly parse: (text: string) => number | undefined
}

const measured = <W extends string, U extends string>(
  measure: Measure,
  standard: U | W,
  options: Described & { readonly min?: U; readonly max?: U; readonly or?: readonly W[] },
): Field<number | W> => {
  const { doc, min, max, or = [] } = options
  const minValue = min === undefined ? 0 : required(measure.parse(min), min)
  const maxValue = max === undefined ? Number.MAX_SAFE_INTEGER : required(measure.parse(max), max)
  return {
    kind: 'field',
    type: measure.type,
    doc,
    default: or.find((word) => word === standard) ?? required(measure.parse(standard), standard),
    defaultText: standard,
    accepts: `${measure.noun}${limits(min, max)}, such as ${measure.example}${either(or)}`,
    schema: reads<number | W>((written) => {
      const word = or.find((each) => each === written)
      if (word !== undefined) return { value: word }
      if (typeof written === 'number') return { reason: `${written} has no unit` }
      const value = typeof written === 'string' ? measure.parse(written) : undefined
      if (value === undefined) return { reason: `${show(written)} is not ${measure.noun}` }
      const side = outside(value, minValue, maxValue)
      if (side !== undefined) return { reason: `${written} is ${side} the limit of ${side === 'below' ? (min ?? 0) : max}` }
      return { value }
    }),
  }
}

const DURATION: Measure = {
  type: 'duration',
  noun: 'a length of time',
  example: '500ms, 60s, 5m, 2h or 7d',
  parse: parseDuration,
}
const BYTES: Measure = { type: 'bytes', noun: 'a size', example: '512 B, 256 KiB or 4 MiB', parse: parseBytes }

interface DurationOptions extends Described {
  readonly min?: DurationText
  readonly max?: DurationText
}

/** A length of time, in milliseconds once read, or one of the words in `or` (`forever`). */
export function duration(standard: DurationText, options: DurationOptions): Field<number>
export function duration<const W extends string>(
  standard: DurationText | NoInfer<W>,
  options: DurationOptions & { readonly or: readonly W[] },
): Field<number | W>
export function duration<W extends string>(
  standard: DurationText | W,
  options: DurationOptions & { readonly or?: readonly W[] },
): Field<number | W> {
  return measured<W, DurationText>(DURATION, standard, options)
}

/** A size, in bytes once read. */
export const bytes = (
  standard: BytesText,
  options: Described & { readonly min?: BytesText; readonly max?: BytesText },
): Field<number> => measured<never, BytesText>(BYTES, standard, options)

/** A further test of a text: what it must be, as the end of "Write …". */
export interface TextRule {
  readonly accepts: string
  readonly test: (text: string) => boolean
  /** Whether it is nobody's business, so that a problem does not repeat it. */
  readonly isSecret?: boolean
}

const textSchema = (rule: TextRule | undefined): v.GenericSchema<unknown, string> =>
  reads((written) => {
    if (typeof written !== 'string') return { reason: `${show(written)} is not text` }
    if (written === '') return { reason: 'the text is empty' }
    if (rule === undefined || rule.test(written)) return { value: written }
    return { reason: `${rule.isSecret === true ? 'what is written' : show(written)} is not ${rule.accepts}` }
  })

/** A text that is not empty. */
export const text = (options: Described & { readonly default: string; readonly rule?: TextRule }): Field<string> => ({
  kind: 'field',
  type: 'text',
  doc: options.doc,
  default: options.default,
  defaultText: options.default,
  accepts: options.rule?.accepts ?? 'text',
  schema: textSchema(options.rule),
})

/** A text that may be left out. */
export const optionalText = (options: Described & { readonly rule?: TextRule }): Field<string | undefined> => ({
  kind: 'field',
  type: 'text',
  doc: options.doc,
  default: undefined,
  defaultText: '',
  accepts: options.rule?.accepts ?? 'text',
  schema: textSchema(options.rule),
})

/** A file or folder; a relative one is meant from the folder of the configuration file. */
export const path = (options: Described & { readonly default: string }): Field<string> => ({
  ...text(options),
  type: 'path',
  accepts: 'a path',
})

/** A file or folder that may be left out. */
export const optionalPath = (options: Described): Field<string | undefined> => ({
  ...optionalText(options),
  type: 'path',
  accepts: 'a path',
})

/** One of these words. */
export const choice = <const W extends string>(
  words: readonly W[],
  options: Described & { readonly default: NoInfer<W> },
): Field<W> => ({
  kind: 'field',
  type: 'choice',
  doc: options.doc,
  default: options.default,
  defaultText: options.default,
  accepts: words.length > 1 ? `${words.slice(0, -1).join(', ')} or ${words.at(-1)}` : words.join(),
  schema: reads((written) => {
    const word = words.find((each) => each === written)
    return word === undefined ? { reason: `${show(written)} is not one of ${words.join(', ')}` } : { value: word }
  }),
})

/** Several values of one kind; `of` is a field whose default and doc do not matter. */
export const list = <T>(of: Field<T>, options: Described & { readonly default: readonly NoInfer<T>[] }): Field<readonly T[]> => ({
  kind: 'field',
  type: 'list',
  doc: options.doc,
  default: options.default,
  defaultText: `[${options.default.join(', ')}]`,
  accepts: `a list in brackets, each ${of.accepts}`,
  schema: v.pipe(
    v.array(of.schema, (issue) => `${show(issue.input)} is not a list`),
    v.readonly(),
  ),
})

/** A group of fields under one key. */
export const section = <const S extends SectionSchema>(options: Described & { readonly fields: S }): Section<S> => ({
  kind: 'section',
  doc: options.doc,
  fields: options.fields,
})
