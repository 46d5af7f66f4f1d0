// What the suite uses of @xmpp/client 0.14, which ships no types.
declare module '@xmpp/client' {
  import type { EventEmitter } from 'node:events'

  export type XmlElement = {
    readonly name: string
    readonly attrs: Record<string, string | undefined>
    is(name: string, xmlns?: string): boolean
    getChild(name: string, xmlns?: string): XmlElement | undefined
    getChildren(name: string, xmlns?: string): XmlElement[]
    getChildText(name: string, xmlns?: string): string | null
  }
  export type XmppClient = EventEmitter & {
    readonly status: string
    readonly parser: object | null
    _onData(data: unknown): void
    readonly reconnect: { delay: number; stop(): void }
    readonly iqCaller: { request(iq: XmlElement): Promise<XmlElement> }
    readonly iqCallee: { set(xmlns: string, name: string, handle: (context: { readonly element: XmlElement }) => unknown): void }
    start(): Promise<unknown>
    stop(): Promise<unknown>
    send(element: XmlElement): Promise<void>
  }
  export function client(options: {
    readonly service: string
    readonly domain: string
    readonly username: string
    readonly password: string
    readonly resource?: string
  }): XmppClient
  export function xml(name: string, attrs?: Record<string, string | undefined>, ...children: (XmlElement | string)[]): XmlElement
}
