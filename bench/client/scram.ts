import { createHash, createHmac, pbkdf2, randomBytes } from 'node:crypto'
import { promisify } from 'node:util'

const deriveKey = promisify(pbkdf2)
/** RFC 5802 §3: a client may remember what it derived from its password, so long as the server names the same salt and count. */
const derived = new Map<string, Promise<Buffer>>()

/** The client's side of SCRAM without channel binding (RFC 5802). */
export function scram(digest: 'sha1' | 'sha256', username: string, password: string) {
  const bare = `n=${username},r=${randomBytes(18).toString('base64')}`
  let serverSignature = ''
  return {
    first: Buffer.from(`n,,${bare}`).toString('base64'),
    async final(challenge: string): Promise<string> {
      const serverFirst = Buffer.from(challenge, 'base64').toString()
      const { r = '', s = '', i = '' } = Object.fromEntries(serverFirst.split(',').map((part) => [part[0], part.slice(2)]))
      const bytes = digest === 'sha1' ? 20 : 32
      const key = `${digest} ${password} ${s} ${i}`
      const deriving = derived.get(key) ?? deriveKey(password, Buffer.from(s, 'base64'), Number(i), bytes, digest)
      derived.set(key, deriving)
      const salted = await deriving
      const hmac = (key: Buffer, text: string) => createHmac(digest, key).update(text).digest()
      const clientKey = hmac(salted, 'Client Key')
      const stored = createHash(digest).update(clientKey).digest()
      const withoutProof = `c=biws,r=${r}`
      const authMessage = `${bare},${serverFirst},${withoutProof}`
      const signature = hmac(stored, authMessage)
      const proof = clientKey.map((byte, at) => byte ^ (signature[at] ?? 0))
      serverSignature = hmac(hmac(salted, 'Server Key'), authMessage).toString('base64')
      return Buffer.from(`${withoutProof},p=${Buffer.from(proof).toString('base64')}`).toString('base64')
    },
    /** RFC 5802 §3: a server that cannot prove it knows the password is an impostor. */
    verifies: (success: string): boolean => Buffer.from(success, 'base64').toString() === `v=${serverSignature}`,
  }
}
