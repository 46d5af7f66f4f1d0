import { describe, expect, test } from 'vitest'
import {
  booleanOf,
  type DataForm,
  firstValueOf,
  formElement,
  formTypeField,
  formTypeOf,
  jidsOf,
  readForm,
  valuesOf,
} from './data-form.ts'
import { el, type Node } from './element.ts'
import { NS_DATA_FORMS } from './namespaces.ts'

const x = (name: string, attrs: Readonly<Record<string, string>> = {}, ...children: readonly Node[]) =>
  el(NS_DATA_FORMS, name, attrs, ...children)
const value = (text: string) => x('value', {}, text)

const botForm: DataForm = {
  type: 'form',
  title: 'Bot Configuration',
  instructions: 'Fill out this form',
  fields: [
    formTypeField('jabber:bot'),
    { var: '', type: 'fixed', values: ['Section 1'] },
    { var: 'botname', type: 'text-single', label: 'The name of your bot', values: [] },
    { var: 'public', type: 'boolean', label: 'Public bot?', desc: 'Who sees it', isRequired: true, values: ['0'] },
    {
      var: 'features',
      type: 'list-multi',
      values: ['news', 'search'],
      options: [{ value: 'news', label: 'News' }, { value: 'search' }],
    },
  ],
}

const submit = (...fields: DataForm['fields']): DataForm => ({ type: 'submit', fields })

describe('XEP-0004', () => {
  test('§3: a form is built as the section writes it', () => {
    expect(formElement(botForm)).toEqual(
      x(
        'x',
        { type: 'form' },
        x('title', {}, 'Bot Configuration'),
        x('instructions', {}, 'Fill out this form'),
        x('field', { var: 'FORM_TYPE', type: 'hidden' }, value('jabber:bot')),
        x('field', { type: 'fixed' }, value('Section 1')),
        x('field', { var: 'botname', type: 'text-single', label: 'The name of your bot' }),
        x(
          'field',
          { var: 'public', type: 'boolean', label: 'Public bot?' },
          x('desc', {}, 'Who sees it'),
          x('required'),
          value('0'),
        ),
        x(
          'field',
          { var: 'features', type: 'list-multi' },
          value('news'),
          value('search'),
          x('option', { label: 'News' }, value('news')),
          x('option', {}, value('search')),
        ),
      ),
    )
  })

  test('§3: what is built is read back', () => {
    expect(readForm(formElement(botForm))).toMatchObject(botForm)
  })

  test('§3: several instructions are one text', () => {
    const form = readForm(x('x', { type: 'form' }, x('instructions', {}, 'one'), x('instructions', {}, 'two')))
    expect(form?.instructions).toBe('one\ntwo')
  })

  test('§3.3: a type that is not understood is text-single, one that is absent stays absent', () => {
    const form = readForm(x('x', { type: 'submit' }, x('field', { var: 'a', type: 'colour' }), x('field', { var: 'b' })))
    expect(form?.fields.map(({ type }) => type)).toEqual(['text-single', undefined])
  })

  test.each([
    ['another namespace', el('jabber:x:other', 'x', { type: 'form' })],
    ['another name', x('y', { type: 'form' })],
    ['no type', x('x')],
    ['an unknown type', x('x', { type: 'wish' })],
  ])('§3.1: %s is no form', (_, element) => {
    expect(readForm(element)).toBeUndefined()
  })

  test('§3.3: values are read by what they are to be', () => {
    const form = submit(
      { var: 'yes', values: ['1'] },
      { var: 'no', values: ['false'] },
      { var: 'perhaps', values: ['perhaps'] },
      { var: 'lines', values: ['a', 'b'] },
      { var: 'empty', values: [] },
    )
    expect(['yes', 'no', 'perhaps', 'empty', 'absent'].map((name) => booleanOf(form, name))).toEqual([
      true,
      false,
      undefined,
      undefined,
      undefined,
    ])
    expect([valuesOf(form, 'lines'), valuesOf(form, 'absent')]).toEqual([['a', 'b'], []])
    expect([firstValueOf(form, 'lines'), firstValueOf(form, 'empty')]).toEqual(['a', undefined])
  })

  test('§3.3: an address that comes twice counts once, one that is none spoils the field', () => {
    const form = submit(
      { var: 'good', values: ['Juliet@capulet.lit', 'juliet@capulet.lit', 'romeo@montague.lit'] },
      { var: 'bad', values: ['@'] },
    )
    expect(jidsOf(form, 'good')?.map(({ jid }) => jid)).toEqual(['juliet@capulet.lit', 'romeo@montague.lit'])
    expect(jidsOf(form, 'bad')).toBeUndefined()
    expect(jidsOf(form, 'absent')).toEqual([])
  })
})

describe('XEP-0068', () => {
  test('§3: FORM_TYPE is a hidden field, and in a submission may leave its type out', () => {
    expect(formTypeOf(botForm)).toBe('jabber:bot')
    expect(formTypeOf(submit({ var: 'FORM_TYPE', values: ['jabber:bot'] }))).toBe('jabber:bot')
  })

  test('§3: a FORM_TYPE that is not hidden is none', () => {
    expect(formTypeOf({ type: 'result', fields: [{ var: 'FORM_TYPE', values: ['jabber:bot'] }] })).toBeUndefined()
    expect(formTypeOf(submit({ var: 'FORM_TYPE', type: 'text-single', values: ['jabber:bot'] }))).toBeUndefined()
    expect(formTypeOf(submit())).toBeUndefined()
  })
})
