import type { TlsFacts } from '#server/stream/connection.ts'

/** The channel-binding types this server knows. */
export type BindingType = 'tls-exporter' | 'tls-server-end-point'

/** The data that a type binds to on this connection; `undefined` when the connection has none. */
export const bindingData = (tls: TlsFacts, type: BindingType): Buffer | undefined => {
  if (type === 'tls-server-end-point') return tls.serverEndPoint()
  // RFC 9266 §4.2: before TLS 1.3 the exporter is unique only with the extended master secret, which cannot be asked for here.
  return tls.protocol === 'TLSv1.3' ? tls.exporter() : undefined
}

/** The types to advertise on a connection (XEP-0440), strongest first; empty without TLS. */
export const offeredBindings = (tls: TlsFacts | undefined): readonly BindingType[] => {
  if (tls === undefined) return NONE
  const known = found.get(tls)
  if (known !== undefined) return known
  const types = findBindings(tls)
  found.set(tls, types)
  return types
}

const NONE: readonly BindingType[] = []
/** Asked for several times in a login, and costs a look at the certificate each time. */
const found = new WeakMap<TlsFacts, readonly BindingType[]>()

const findBindings = (tls: TlsFacts): readonly BindingType[] => {
  const offered: BindingType[] = tls.protocol === 'TLSv1.3' ? ['tls-exporter'] : []
  return tls.serverEndPoint() === undefined ? offered : [...offered, 'tls-server-end-point']
}

/** Reads a type as a client names it; `undefined` for types that are not offered on this connection. */
export const parseBindingType = (tls: TlsFacts | undefined, name: string): BindingType | undefined =>
  offeredBindings(tls).find((type) => type === name)
