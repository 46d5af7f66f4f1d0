import { connect, type Socket } from 'node:net'
import { SaxesParser } from 'saxes'
import { WebSocket } from 'ws'

/** What a wait ended with. */
export type Waited = 'there' | 'closed' | 'late'

/** One connection to the server, on which anything at all can be said. */
export interface Link {
  readonly framing: 'stream' | 'frames'
  readonly isClosed: () => boolean
  /** What has come since `forget`. */
  readonly text: () => string
  /** Why what came is no XML; that is the server's fault. */
  readonly complaint: () => string | undefined
  send(bytes: Buffer): void
  /** Something that only this carrier has: a binary frame, a fragment, a half-closed socket. */
  sendOddly(bytes: Buffer): void
  forget(): void
  until(wanted: string | RegExp | 'closed', timeoutMs: number): Promise<Waited>
  /** Says that no more will be sent. */
  finish(): void
  /** Breaks the connection. */
  cut(): void
}

/** Keeps what came, and wakes whoever waits for it. */
class Inbox {
  text = ''
  isClosed = false
  complaint: string | undefined
  #wake: (() => void) | undefined

  add(text: string): void {
    this.text += text
    this.#wake?.()
  }

  close(): void {
    this.isClosed = true
    this.#wake?.()
  }

  async until(wanted: string | RegExp | 'closed', timeoutMs: number): Promise<Waited> {
    const isThere = (): boolean =>
      wanted !== 'closed' && (typeof wanted === 'string' ? this.text.includes(wanted) : wanted.test(this.text))
    const deadline = performance.now() + timeoutMs
    for (;;) {
      if (isThere()) return 'there'
      if (this.isClosed) return 'closed'
      const leftMs = deadline - performance.now()
      if (leftMs <= 0) return 'late'
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs)
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }
}

const DECLARATION = "<?xml version='1.0'?>"

/** Reads what the server writes by a strict parser; each header begins a new document. */
class Censor {
  readonly #inbox: Inbox
  #parser: SaxesParser<{ xmlns: true }> | undefined
  #rest = ''

  constructor(inbox: Inbox) {
    this.#inbox = inbox
  }

  read(text: string): void {
    const documents = (this.#rest + text).split(DECLARATION)
    this.#rest = ''
    for (const [at, document] of documents.entries()) {
      if (at > 0) this.#begin()
      this.#write(document)
    }
  }

  /** One whole document. */
  readFrame(text: string): void {
    this.#begin()
    this.#write(text)
    this.#attempt(() => this.#parser?.close())
  }

  #begin(): void {
    this.#parser = new SaxesParser({ xmlns: true })
    this.#parser.on('error', (error) => {
      // xmlns:p=' ' is no good name, but a name: saxes trims it and takes it for none. The server refuses xmlns:p='' itself.
      if (!error.message.includes('undefine prefix')) throw error
    })
  }

  #write(text: string): void {
    if (text !== '') this.#attempt(() => this.#parser?.write(text))
  }

  #attempt(read: () => void): void {
    if (this.#inbox.complaint !== undefined) return
    try {
      read()
    } catch (error) {
      this.#inbox.complaint = `the server wrote what is no XML: ${String(error)}`
    }
  }
}

/** Opens a TCP connection. */
export const openTcp = async (port: number): Promise<Link> => {
  const inbox = new Inbox()
  const censor = new Censor(inbox)
  const decoder = new TextDecoder()
  const socket: Socket = connect({ host: '127.0.0.1', port, noDelay: true })
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve).once('error', reject)
  })
  socket.removeAllListeners('error').on('error', () => undefined)
  socket.on('data', (bytes) => {
    const text = decoder.decode(bytes, { stream: true })
    censor.read(text)
    inbox.add(text)
  })
  socket.on('close', () => inbox.close())
  const send = (bytes: Buffer): void => void (socket.writable && socket.write(bytes))
  return linkOf(inbox, 'stream', {
    send,
    sendOddly: send,
    finish: () => void socket.end(),
    cut: () => void socket.resetAndDestroy(),
  })
}

/** Opens a WebSocket connection. */
export const openWebSocket = async (port: number): Promise<Link> => {
  const inbox = new Inbox()
  const censor = new Censor(inbox)
  const socket = new WebSocket(`ws://127.0.0.1:${port}/xmpp-websocket`, 'xmpp', { perMessageDeflate: false })
  await new Promise<void>((resolve, reject) => {
    socket.once('open', resolve).once('error', reject)
  })
  socket.removeAllListeners('error').on('error', () => undefined)
  socket.on('message', (data: Buffer) => {
    const text = data.toString()
    censor.readFrame(text)
    inbox.add(text)
  })
  socket.on('close', () => inbox.close())
  const isOpen = (): boolean => socket.readyState === WebSocket.OPEN
  return linkOf(inbox, 'frames', {
    send: (bytes) => void (isOpen() && socket.send(bytes, { binary: false })),
    sendOddly(bytes) {
      if (!isOpen()) return
      if (bytes.length % 2 === 0) socket.send(bytes, { binary: true })
      const half = bytes.length >> 1
      socket.send(bytes.subarray(0, half), { binary: false, fin: false })
      socket.send(bytes.subarray(half), { binary: false, fin: true })
    },
    finish: () => socket.close(),
    cut: () => socket.terminate(),
  })
}

const linkOf = (inbox: Inbox, framing: Link['framing'], sender: Pick<Link, 'send' | 'sendOddly' | 'finish' | 'cut'>): Link => ({
  ...sender,
  framing,
  isClosed: () => inbox.isClosed,
  text: () => inbox.text,
  complaint: () => inbox.complaint,
  forget() {
    inbox.text = ''
  },
  until: (wanted, timeoutMs) => inbox.until(wanted, timeoutMs),
})
