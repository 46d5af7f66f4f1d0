import { createHash, createHmac, pbkdf2Sync } from 'node:crypto'
import type { Link } from './link.ts'

/** An account that the fuzzer has made. */
export interface FuzzAccount {
  readonly username: string
  readonly password: string
}

const SASL = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'"
const PATIENCE_MS = 10_000

const hmac = (key: Buffer, text: string): Buffer => createHmac('sha1', key).update(text).digest()

/** Client keys by salt and password: a hundred thousand logins must not cost a hundred thousand derivations. */
const clientKeys = new Map<string, Buffer>()

const clientKeyOf = (password: string, salt: string, iterations: number): Buffer => {
  const name = `${password} ${salt} ${iterations}`
  const known = clientKeys.get(name)
  if (known !== undefined) return known
  const key = hmac(pbkdf2Sync(password, Buffer.from(salt, 'base64'), iterations, 20, 'sha1'), 'Client Key')
  clientKeys.set(name, key)
  return key
}

/** Opens a stream, or opens it anew. */
export const openStream = (link: Link, domain: string): void =>
  link.send(
    Buffer.from(
      link.framing === 'frames'
        ? `<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='${domain}' version='1.0'/>`
        : `<?xml version='1.0'?><stream:stream to='${domain}' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>`,
    ),
  )

const expect = async (link: Link, wanted: RegExp): Promise<RegExpExecArray> => {
  const waited = await link.until(wanted, PATIENCE_MS)
  const found = wanted.exec(link.text())
  if (found === null) throw new Error(`${waited} while waiting for ${wanted}: ${link.text().slice(-400)}`)
  link.forget()
  return found
}

/** Authenticates by SCRAM-SHA-1; the stream is to be opened anew. */
export const authenticate = async (link: Link, domain: string, { username, password }: FuzzAccount): Promise<void> => {
  openStream(link, domain)
  await expect(link, /<\/stream:features>/)
  const bare = `n=${username},r=rOprNGfwEbeRWgbNEkqO`
  link.send(Buffer.from(`<auth ${SASL} mechanism='SCRAM-SHA-1'>${Buffer.from(`n,,${bare}`).toString('base64')}</auth>`))
  const [, challenge = ''] = await expect(link, /<challenge[^>]*>([^<]*)<\/challenge>/)
  const serverFirst = Buffer.from(challenge, 'base64').toString()
  const [, nonce = '', salt = '', iterations = ''] = /^r=([^,]*),s=([^,]*),i=(\d+)/.exec(serverFirst) ?? []
  const withoutProof = `c=biws,r=${nonce}`
  const clientKey = clientKeyOf(password, salt, Number(iterations))
  const signature = hmac(createHash('sha1').update(clientKey).digest(), `${bare},${serverFirst},${withoutProof}`)
  const proof = Buffer.from(clientKey.map((byte, at) => byte ^ (signature[at] ?? 0))).toString('base64')
  link.send(Buffer.from(`<response ${SASL}>${Buffer.from(`${withoutProof},p=${proof}`).toString('base64')}</response>`))
  await expect(link, /<success/)
}

/** Authenticates, and binds a resource. */
export const logIn = async (link: Link, domain: string, account: FuzzAccount, resource: string): Promise<void> => {
  await authenticate(link, domain, account)
  openStream(link, domain)
  await expect(link, /<\/stream:features>/)
  const payload = `<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>${resource}</resource></bind>`
  link.send(Buffer.from(`<iq xmlns='jabber:client' type='set' id='bind'>${payload}</iq>`))
  await expect(link, /<jid>/)
}

/** A ping to the server that its pong can be told by. */
export const ping = (domain: string, id: string): Buffer =>
  Buffer.from(`<iq xmlns='jabber:client' type='get' id='${id}' to='${domain}'><ping xmlns='urn:xmpp:ping'/></iq>`)
