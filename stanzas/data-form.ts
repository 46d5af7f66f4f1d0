import { type Element, el } from './element.ts'
import { type Address, parseJid } from './jid.ts'
import { NS_DATA_FORMS } from './namespaces.ts'

const FORM_TYPES = ['form', 'submit', 'cancel', 'result'] as const
const FIELD_TYPES = [
  'boolean',
  'fixed',
  'hidden',
  'jid-multi',
  'jid-single',
  'list-multi',
  'list-single',
  'text-multi',
  'text-private',
  'text-single',
] as const

/** What a form is for (XEP-0004 §3.1). */
export type FormType = (typeof FORM_TYPES)[number]
/** How a field is to be filled in (XEP-0004 §3.3). */
export type FieldType = (typeof FIELD_TYPES)[number]

/** One of the values a list field offers. */
export interface FieldOption {
  readonly value: string
  readonly label?: string | undefined
}

/** A field of a data form (XEP-0004 §3.2). */
export interface Field {
  /** `''` when there is none, as a fixed field may have it. */
  readonly var: string
  /** Absent where the context tells it, as in what is submitted. */
  readonly type?: FieldType | undefined
  readonly label?: string | undefined
  readonly desc?: string | undefined
  readonly isRequired?: boolean
  readonly values: readonly string[]
  readonly options?: readonly FieldOption[]
}

/** A data form (XEP-0004). */
export interface DataForm {
  readonly type: FormType
  readonly title?: string | undefined
  readonly instructions?: string | undefined
  readonly fields: readonly Field[]
}

/** The field that says what kind of form this is (XEP-0068 §3). */
export const formTypeField = (formType: string): Field => ({ var: 'FORM_TYPE', type: 'hidden', values: [formType] })

const fieldElement = (field: Field): Element =>
  el(
    NS_DATA_FORMS,
    'field',
    { var: field.var === '' ? undefined : field.var, type: field.type, label: field.label },
    field.desc === undefined ? undefined : el(NS_DATA_FORMS, 'desc', {}, field.desc),
    field.isRequired === true ? el(NS_DATA_FORMS, 'required') : undefined,
    ...field.values.map((value) => el(NS_DATA_FORMS, 'value', {}, value)),
    ...(field.options ?? []).map(({ value, label }) =>
      el(NS_DATA_FORMS, 'option', { label }, el(NS_DATA_FORMS, 'value', {}, value)),
    ),
  )

/** Builds the `<x/>` of a form (XEP-0004 §3). */
export const formElement = (form: DataForm): Element =>
  el(
    NS_DATA_FORMS,
    'x',
    { type: form.type },
    form.title === undefined ? undefined : el(NS_DATA_FORMS, 'title', {}, form.title),
    form.instructions === undefined ? undefined : el(NS_DATA_FORMS, 'instructions', {}, form.instructions),
    ...form.fields.map(fieldElement),
  )

const readField = (element: Element): Field => {
  const { var: name = '', type, label } = element.attrs
  return {
    var: name,
    // XEP-0004 §3.3: a type that is not understood is text-single.
    type: type === undefined ? undefined : (FIELD_TYPES.find((known) => known === type) ?? 'text-single'),
    label,
    desc: element.getChildText('desc'),
    isRequired: element.getChild('required') !== undefined,
    values: element.getChildren('value').map((value) => value.text()),
    options: element
      .getChildren('option')
      .map((option) => ({ value: option.getChildText('value') ?? '', label: option.attrs.label })),
  }
}

/** Reads a form (XEP-0004 §3); `undefined` when it is none or its type is unknown. */
export const readForm = (element: Element): DataForm | undefined => {
  const type = FORM_TYPES.find((known) => known === element.attrs.type)
  if (element.ns !== NS_DATA_FORMS || element.name !== 'x' || type === undefined) return undefined
  // XEP-0004 §3: several instructions are the lines of one text.
  const instructions = element.getChildren('instructions').map((line) => line.text())
  return {
    type,
    title: element.getChildText('title'),
    instructions: instructions.length === 0 ? undefined : instructions.join('\n'),
    fields: element.getChildren('field').map(readField),
  }
}

const fieldOf = (form: DataForm, name: string): Field | undefined => form.fields.find((field) => field.var === name)

/** All values of a field; empty when there is no such field. */
export const valuesOf = (form: DataForm, name: string): readonly string[] => fieldOf(form, name)?.values ?? []

/** The first value of a field; `undefined` when there is none. */
export const firstValueOf = (form: DataForm, name: string): string | undefined => fieldOf(form, name)?.values[0]

/** A boolean as it is written in a field (XEP-0004 §3.3); `undefined` when it is something else. */
export const booleanIn = (value: string | undefined): boolean | undefined => {
  if (value === 'true' || value === '1') return true
  return value === 'false' || value === '0' ? false : undefined
}

/** The value of a boolean field; `undefined` when it has none or another. */
export const booleanOf = (form: DataForm, name: string): boolean | undefined => booleanIn(firstValueOf(form, name))

/** The addresses of a field without repetitions (XEP-0004 §3.3); `undefined` when one of its values is no JID. */
export const jidsOf = (form: DataForm, name: string): readonly Address[] | undefined => {
  const addresses = new Map<string, Address>()
  for (const value of valuesOf(form, name)) {
    const address = parseJid(value)
    if (address === undefined) return undefined
    addresses.set(address.jid, address)
  }
  return [...addresses.values()]
}

/** What kind of form this is (XEP-0068 §3); `undefined` when it does not say, or not in a hidden field where that is due. */
export const formTypeOf = (form: DataForm): string | undefined => {
  const field = fieldOf(form, 'FORM_TYPE')
  // XEP-0068 §3.1: what is submitted need not repeat the types of its fields.
  return field?.type === 'hidden' || (form.type === 'submit' && field?.type === undefined) ? field?.values[0] : undefined
}
