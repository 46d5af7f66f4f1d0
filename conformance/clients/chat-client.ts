/** Where a foreign client sits: its account, and the port that leads to the server. */
export type Seat = {
  readonly bareJid: string
  readonly password: string
  readonly domain: string
  readonly port: number
  readonly caFile: string
}

/** A foreign client as the scenarios drive it; what it tells is what its person would see. */
export type ChatClient = {
  readonly bareJid: string
  readonly login: () => Promise<void>
  readonly logout: () => Promise<void>
  readonly subscribe: (peer: string) => Promise<void>
  readonly approve: (peer: string) => Promise<void>
  /** Sends a chat message that asks for a receipt (XEP-0184). */
  readonly send: (peer: string, body: string) => Promise<void>
  readonly isOnline: () => Promise<boolean>
  readonly wasAskedBy: (peer: string) => Promise<boolean>
  /** The subscription state its roster shows for a contact (RFC 6121 §2.1.2.5). */
  readonly subscriptionWith: (peer: string) => Promise<string>
  readonly seesAvailable: (peer: string) => Promise<boolean>
  /** Every body it was shown from a peer, in order of arrival, doubles included. */
  readonly heardFrom: (peer: string) => Promise<readonly string[]>
  /** The bodies it sent and got a receipt for. */
  readonly receipted: () => Promise<readonly string[]>
  /** What is worth reading when a scenario fails: screens and wire. */
  readonly evidence: () => Promise<string>
  readonly dispose: () => Promise<void>
}

/** A kind of client: its name, the door it comes in by, and how one is opened. */
export type ClientKind<Client extends ChatClient = ChatClient> = {
  readonly name: string
  readonly door: 'c2s' | 'http'
  readonly open: (seat: Seat) => Promise<Client>
}

const keptWireLines = 200

/** What happened to a client, written down by drivers that are told of each event. */
export class Notebook {
  #isOnline = false
  readonly #asked = new Set<string>()
  readonly #subscriptions = new Map<string, string>()
  readonly #available = new Set<string>()
  readonly #heard: { readonly peer: string; readonly body: string }[] = []
  readonly #bodies = new Map<string, string>()
  readonly #receipted: string[] = []
  readonly #wire: string[] = []

  online(isOnline: boolean): void {
    this.#isOnline = isOnline
  }
  asked(peer: string): void {
    this.#asked.add(peer)
  }
  contact(peer: string, subscription: string): void {
    this.#subscriptions.set(peer, subscription)
  }
  presence(peer: string, isAvailable: boolean): void {
    if (isAvailable) this.#available.add(peer)
    else this.#available.delete(peer)
  }
  heard(peer: string, body: string): void {
    this.#heard.push({ peer, body })
  }
  sent(id: string, body: string): void {
    this.#bodies.set(id, body)
  }
  receipt(id: string): void {
    const body = this.#bodies.get(id)
    if (body !== undefined) this.#receipted.push(body)
  }
  wire(line: string): void {
    this.#wire.push(`${new Date().toISOString()} ${line}`)
    if (this.#wire.length > keptWireLines) this.#wire.shift()
  }

  /** The questions of a ChatClient that this notebook answers. */
  answers() {
    return {
      isOnline: async () => this.#isOnline,
      wasAskedBy: async (peer: string) => this.#asked.has(peer),
      subscriptionWith: async (peer: string) => this.#subscriptions.get(peer) ?? 'none',
      seesAvailable: async (peer: string) => this.#available.has(peer),
      heardFrom: async (peer: string) => this.#heard.filter((line) => line.peer === peer).map((line) => line.body),
      receipted: async () => [...this.#receipted],
      evidence: async () => this.#wire.join('\n'),
    }
  }
}

/** The bare form of an address on the wire. */
export const bare = (jid: string): string => jid.split('/')[0] ?? jid
