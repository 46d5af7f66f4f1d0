import { type DataForm, formElement, readForm } from './data-form.ts'
import { type Element, el } from './element.ts'
import { NS_DATA_FORMS, NS_DISCO_INFO } from './namespaces.ts'

/** What an entity is (XEP-0030 §3.1). */
export interface Identity {
  readonly category: string
  readonly type: string
  readonly name?: string | undefined
  readonly lang?: string | undefined
}

/** What an entity tells about itself: what it is, what it can do, and forms of details (XEP-0030 §3, XEP-0128). */
export interface DiscoInfo {
  readonly identities: readonly Identity[]
  readonly features: readonly string[]
  readonly forms: readonly DataForm[]
}

/** Builds the `<query/>` of an answer (XEP-0030 §3.1). */
export const discoInfoElement = (info: DiscoInfo, node?: string): Element =>
  el(
    NS_DISCO_INFO,
    'query',
    { node },
    ...info.identities.map(({ category, type, name, lang }) =>
      el(NS_DISCO_INFO, 'identity', { 'xml:lang': lang, category, type, name }),
    ),
    ...info.features.map((feature) => el(NS_DISCO_INFO, 'feature', { var: feature })),
    ...info.forms.map(formElement),
  )

/** Reads the `<query/>` of an answer (XEP-0030 §3.1); `undefined` when it is none or lacks an attribute that must be there. */
export const readDiscoInfo = (query: Element): DiscoInfo | undefined => {
  if (query.ns !== NS_DISCO_INFO || query.name !== 'query') return undefined
  const identities: Identity[] = []
  for (const { attrs } of query.getChildren('identity')) {
    const { category = '', type = '', name } = attrs
    if (category === '' || type === '') return undefined
    identities.push({ category, type, name, lang: attrs['xml:lang'] })
  }
  const features = query.getChildren('feature').map((feature) => feature.attrs.var)
  const forms = query.getChildren('x', NS_DATA_FORMS).map(readForm)
  if (!features.every((feature) => feature !== undefined) || !forms.every((form) => form !== undefined)) return undefined
  return { identities, features, forms }
}
