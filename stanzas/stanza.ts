import type { Element } from './element.ts'
import type { Address } from './jid.ts'
import type { Wire } from './wire.ts'

/** The three kinds of stanza (RFC 6120 §8.2). */
export type StanzaKind = 'message' | 'presence' | 'iq'

/** A first-level child of a stanza. */
export interface Payload {
  readonly ns: string
  readonly name: string
}

/** What a forwarded copy says differently; an absent key keeps what was there, an `undefined` value leaves it out. */
export interface Restamp {
  readonly from?: Address | undefined
  readonly to?: Address | undefined
  readonly id?: string | undefined
  readonly type?: string | undefined
  readonly drop?: (payload: Payload, stanza: Stanza) => boolean
  readonly append?: Wire | Element | readonly Element[]
}

/** The attributes of a stanza the server makes itself. */
export interface StanzaAttributes {
  readonly from?: Address | undefined
  readonly to?: Address | undefined
  readonly id?: string | undefined
  readonly type?: string | undefined
  readonly lang?: string | undefined
}

const later = (): never => {
  throw new Error('not yet')
}

/** One stanza: its own attributes and payload names are known, its bytes travel as they came. */
export class Stanza {
  readonly kind: StanzaKind
  readonly payloads: readonly Payload[] = []

  constructor(kind: StanzaKind) {
    this.kind = kind
  }
  get id(): string | undefined {
    return later()
  }
  get type(): string | undefined {
    return later()
  }
  get lang(): string | undefined {
    return later()
  }
  get to(): Address | undefined {
    return later()
  }
  get from(): Address | undefined {
    return later()
  }
  get hasMalformedAddress(): boolean {
    return later()
  }
  has(_ns: string, _name: string): boolean {
    return later()
  }
  get(_ns: string, _name: string): Element | undefined {
    return later()
  }
  text(_ns: string, _name: string): string | undefined {
    return later()
  }
  elements(): readonly Element[] {
    return later()
  }
  restamp(_change: Restamp): Stanza {
    return later()
  }
  get wire(): Wire {
    return later()
  }
  get size(): number {
    return later()
  }
  detach(): Stanza {
    return later()
  }
}

/** A stanza that the server makes itself. */
export const stanza = (_kind: StanzaKind, _attrs: StanzaAttributes, ..._children: readonly (Element | undefined)[]): Stanza =>
  later()
/** A message that the server makes itself. */
export const message = (attrs: StanzaAttributes, ...children: readonly (Element | undefined)[]): Stanza =>
  stanza('message', attrs, ...children)
/** A presence that the server makes itself. */
export const presence = (attrs: StanzaAttributes, ...children: readonly (Element | undefined)[]): Stanza =>
  stanza('presence', attrs, ...children)
/** An iq that the server makes itself. */
export const iq = (attrs: StanzaAttributes, ...children: readonly (Element | undefined)[]): Stanza =>
  stanza('iq', attrs, ...children)
/** Reads one complete stanza back from storage or the bus. */
export const parseStanza = (_wire: Wire): Stanza => later()
