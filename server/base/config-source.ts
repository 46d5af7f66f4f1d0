import { type Document, isAlias, isMap, isScalar, LineCounter, type Node, parseDocument } from 'yaml'

/** A place in a file, counted from 1. */
export interface Place {
  readonly line: number
  readonly column: number
}

/** Something that was written, with its place; a section keeps the place of each key. */
export type Written = WrittenSection | WrittenValue
export interface WrittenSection {
  readonly kind: 'section'
  readonly file: string
  readonly place: Place | undefined
  readonly entries: ReadonlyMap<string, { readonly keyPlace: Place | undefined; readonly written: Written }>
}
export interface WrittenValue {
  readonly kind: 'value'
  readonly file: string
  readonly place: Place | undefined
  readonly value: unknown
}

/** Values that take precedence over the file, nested and written as in the file. */
export interface Overrides {
  readonly [key: string]: boolean | number | string | readonly string[] | Overrides
}

/** What is wrong with the text itself, before anyone asks what it means. */
export interface SyntaxProblem extends Place {
  readonly reason: string
  readonly fix: string
}

const WRITE_YAML = 'Write YAML: one `key: value` a line, sections indented by spaces.'

const emptySection = (file: string): WrittenSection => ({ kind: 'section', file, place: undefined, entries: new Map() })

/** Reads YAML into sections and values that know where they stand; or says what is wrong with it as YAML. */
export const readYaml = (file: string, source: string): WrittenSection | readonly SyntaxProblem[] => {
  const lines = new LineCounter()
  const document = parseDocument(source, { lineCounter: lines, prettyErrors: false, version: '1.2' })
  const placeOf = (offset: number): Place => {
    const { line, col } = lines.linePos(offset)
    return { line, column: col }
  }
  if (document.errors.length > 0) {
    const twice = document.errors.filter(({ code }) => code === 'DUPLICATE_KEY')
    // What follows the first mistake is mostly its consequence.
    const first = document.errors.filter(({ code }) => code !== 'DUPLICATE_KEY').slice(0, 1)
    return [
      ...twice.map(({ pos: [at] }) => ({
        ...placeOf(at),
        reason: `${/^[\w-]+/.exec(source.slice(at))?.[0] ?? 'this key'} is written twice`,
        fix: 'Remove one of the two.',
      })),
      ...first.map(({ pos: [at], message }) => ({ ...placeOf(at), reason: message.replace(/\s+/g, ' '), fix: WRITE_YAML })),
    ]
  }
  const root = document.contents
  if (root === null || (isScalar(root) && root.value === null)) return emptySection(file)
  const written = convert(root, file, document, placeOf)
  return written.kind === 'section'
    ? written
    : [{ ...placeOf(root.range?.[0] ?? 0), reason: 'the file is not a list of keys and values', fix: WRITE_YAML }]
}

const convert = (node: Node, file: string, document: Document, placeOf: (offset: number) => Place): Written => {
  const resolved = isAlias(node) ? (node.resolve(document) ?? node) : node
  const place = placeOf(node.range?.[0] ?? 0)
  if (!isMap<Node, Node | null>(resolved)) return { kind: 'value', file, place, value: resolved.toJS(document) }
  const entries = new Map<string, { keyPlace: Place; written: Written }>()
  for (const { key, value } of resolved.items) {
    const keyPlace = placeOf(key.range?.[0] ?? 0)
    const written: Written =
      value === null ? { kind: 'value', file, place: keyPlace, value: null } : convert(value, file, document, placeOf)
    entries.set(isScalar(key) ? String(key.value) : String(key), { keyPlace, written })
  }
  return { kind: 'section', file, place, entries }
}

/** The same for values that come from elsewhere, such as the command line. */
export const readOverrides = (origin: string, overrides: Overrides): WrittenSection => {
  const entries = new Map<string, { keyPlace: undefined; written: Written }>()
  for (const [key, value] of Object.entries(overrides)) {
    const written: Written =
      typeof value === 'object' && !isList(value)
        ? readOverrides(origin, value)
        : { kind: 'value', file: origin, place: undefined, value }
    entries.set(key, { keyPlace: undefined, written })
  }
  return { ...emptySection(origin), entries }
}

const isList = (value: readonly string[] | Overrides): value is readonly string[] => Array.isArray(value)

/** Both, and the second where both have something to say. */
export const overlay = (below: WrittenSection, above: WrittenSection): WrittenSection => {
  const entries = new Map(below.entries)
  for (const [key, entry] of above.entries) {
    const under = entries.get(key)
    const written =
      under?.written.kind === 'section' && entry.written.kind === 'section'
        ? overlay(under.written, entry.written)
        : entry.written
    entries.set(key, { keyPlace: under?.keyPlace ?? entry.keyPlace, written })
  }
  return { ...below, entries }
}
