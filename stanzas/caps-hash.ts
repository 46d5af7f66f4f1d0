import { type DataForm, formTypeOf } from './data-form.ts'
import type { DiscoInfo, Identity } from './disco-info.ts'
import { toWire } from './wire.ts'

/** Hashes the UTF-8 bytes of a text and writes the outcome in base64; the caller brings it, since this folder imports no cryptography. */
export type Digest = (algorithm: CapsAlgorithm, text: string) => string

/** The hash functions a `Digest` computes, by the names Node gives them. */
export type CapsAlgorithm = 'sha1' | 'sha224' | 'sha256' | 'sha384' | 'sha512'

/** Hash functions by their names in the IANA registry, as a `<c/>` gives them (XEP-0115 §4); broken ones beyond the mandatory SHA-1 are left out. */
const ALGORITHMS: ReadonlyMap<string, CapsAlgorithm> = new Map([
  ['sha-1', 'sha1'],
  ['sha-224', 'sha224'],
  ['sha-256', 'sha256'],
  ['sha-384', 'sha384'],
  ['sha-512', 'sha512'],
])

// XEP-0115 §5.1: collation i;octet, the order of the UTF-8 bytes.
const compare = (a: string, b: string): number => {
  const [bytesOfA, bytesOfB] = [toWire(a), toWire(b)]
  if (bytesOfA === bytesOfB) return 0
  return bytesOfA < bytesOfB ? -1 : 1
}

const compareIdentities = (a: Identity, b: Identity): number =>
  compare(a.category, b.category) ||
  compare(a.type, b.type) ||
  compare(a.lang ?? '', b.lang ?? '') ||
  compare(a.name ?? '', b.name ?? '')

const identityText = ({ category, type, lang = '', name = '' }: Identity): string => `${category}/${type}/${lang}/${name}`

interface TypedForm {
  readonly formType: string
  readonly form: DataForm
}

/** XEP-0115 §5.4: a form whose type is missing or not hidden is left out. */
const typedForms = ({ forms }: DiscoInfo): readonly TypedForm[] =>
  forms.flatMap((form) => {
    const formType = formTypeOf(form)
    return formType === undefined ? [] : [{ formType, form }]
  })

const formTexts = ({ formType, form }: TypedForm): readonly string[] => [
  formType,
  ...form.fields
    .filter((field) => field.var !== 'FORM_TYPE')
    .sort((a, b) => compare(a.var, b.var))
    .flatMap((field) => [field.var, ...[...field.values].sort(compare)]),
]

const textsOf = (info: DiscoInfo): readonly string[] => [
  ...[...info.identities].sort(compareIdentities).map(identityText),
  ...[...info.features].sort(compare),
  ...[...typedForms(info)].sort((a, b) => compare(a.formType, b.formType)).flatMap(formTexts),
]

/** The string whose hash is the 'ver' attribute (XEP-0115 §5.1). */
export const verificationString = (info: DiscoInfo): string =>
  textsOf(info)
    .map((text) => `${text}<`)
    .join('')

/** The 'ver' attribute (XEP-0115 §5.1) by a hash function named as in its 'hash' attribute; `undefined` when that is not supported. */
export const capsHash = (info: DiscoInfo, hash: string, digest: Digest): string | undefined => {
  const algorithm = ALGORITHMS.get(hash)
  return algorithm === undefined ? undefined : digest(algorithm, verificationString(info))
}

const hasRepetition = (texts: readonly string[]): boolean => new Set(texts).size < texts.length

/**
 * Whether an answer can stand for a hash at all (XEP-0115 §5.4).
 * XEP-0115 §9.3: a "<" inside a text would let one string stand for several answers, so none may have it,
 * nor a "/" stand in what the slashes of an identity part; that a feature may also be read as part of a form is beyond repair, which is why nothing that matters is granted by a hash.
 */
export const isWellFormedForCaps = (info: DiscoInfo): boolean => {
  const forms = typedForms(info)
  const hasMixedFormType = forms.some(
    ({ form }) => new Set(form.fields.flatMap((field) => (field.var === 'FORM_TYPE' ? field.values : []))).size > 1,
  )
  return (
    !hasMixedFormType &&
    !hasRepetition(info.identities.map(identityText)) &&
    !hasRepetition(info.features) &&
    !hasRepetition(forms.map(({ formType }) => formType)) &&
    !info.identities.some(({ category, type, lang = '' }) => `${category}${type}${lang}`.includes('/')) &&
    !textsOf(info).some((text) => text.includes('<'))
  )
}

/**
 * Whether an answer is what its hash says, so that it may be kept for everyone who sends that hash (XEP-0115 §5.4).
 * The cache's key holds the hash function too: the same 'ver' by another function is another claim.
 */
export const provesCaps = (info: DiscoInfo, hash: string, ver: string, digest: Digest): boolean =>
  isWellFormedForCaps(info) && capsHash(info, hash, digest) === ver
