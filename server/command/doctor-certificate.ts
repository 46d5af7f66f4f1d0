import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { isIP } from 'node:net'
import type { CoreConfig } from '#server/base/config.ts'
import type { Finding } from './finding.ts'

const DAY_MS = 86_400_000
/** Let's Encrypt renews a month before the end; half of that is left when something is wrong with it. */
const SOON_MS = 14 * DAY_MS

const date = (ms: number): string => new Date(ms).toISOString().slice(0, 10)

/** The certificate must be of this domain, valid now and for a while, and belong to the key. */
export const examineCertificate = (config: CoreConfig, nowMs: number): readonly Finding[] => {
  const { certificate: file, key: keyFile } = config.tls
  if (file === undefined || keyFile === undefined) {
    if (config.domain === 'localhost') return [{ kind: 'good', what: 'the certificate is self-made, for localhost' }]
    return [
      {
        kind: 'bad',
        what: `there is no certificate for ${config.domain}; clients will not trust a self-made one`,
        fix: `Get one (certbot certonly -d ${config.domain}), and write its paths as tls.certificate and tls.key.`,
      },
    ]
  }
  let certificate: X509Certificate
  let isOfKey: boolean
  try {
    certificate = new X509Certificate(readFileSync(file))
  } catch (error) {
    return [
      {
        kind: 'bad',
        what: `${file} cannot be read as a certificate: ${reason(error)}`,
        fix: 'Write the path of a PEM file as tls.certificate.',
      },
    ]
  }
  try {
    isOfKey = certificate.checkPrivateKey(createPrivateKey(readFileSync(keyFile)))
  } catch (error) {
    return [
      {
        kind: 'bad',
        what: `${keyFile} cannot be read as a private key: ${reason(error)}`,
        fix: 'Write the path of a PEM file as tls.key.',
      },
    ]
  }
  const findings: Finding[] = []
  if (!isOfKey)
    findings.push({ kind: 'bad', what: `${keyFile} is not the key of ${file}`, fix: 'Name the pair that was made together.' })
  findings.push(examineName(certificate, config.domain), ...examineDates(certificate, nowMs))
  if ((statSync(keyFile).mode & 0o007) !== 0)
    findings.push({ kind: 'doubtful', what: `everyone on this machine may read ${keyFile}`, fix: `Run: chmod o-rwx ${keyFile}` })
  return findings
}

// RFC 6125 §6.4.4: the subject's common name no longer counts, so a certificate without the domain among its alternative names is refused.
const examineName = (certificate: X509Certificate, domain: string): Finding => {
  const names = certificate.subjectAltName ?? 'no names'
  const matches = isIP(domain) === 0 ? certificate.checkHost(domain, { subject: 'never' }) : certificate.checkIP(domain)
  if (matches !== undefined) return { kind: 'good', what: `the certificate is for ${domain}` }
  return {
    kind: 'bad',
    what: `the certificate is not for ${domain} but for ${names}`,
    fix: `Get a certificate that names ${domain} itself, not only the host that the SRV record points to.`,
  }
}

const examineDates = (certificate: X509Certificate, nowMs: number): readonly Finding[] => {
  const from = Date.parse(certificate.validFrom)
  const until = Date.parse(certificate.validTo)
  const fix = 'Renew it; the server reads the new file by itself.'
  if (nowMs < from)
    return [{ kind: 'bad', what: `the certificate is not valid before ${date(from)}`, fix: 'Set the clock, or wait.' }]
  if (nowMs > until) return [{ kind: 'bad', what: `the certificate expired on ${date(until)}`, fix }]
  if (until - nowMs < SOON_MS) return [{ kind: 'doubtful', what: `the certificate expires on ${date(until)}`, fix }]
  return [{ kind: 'good', what: `the certificate is valid until ${date(until)}` }]
}

const reason = (error: unknown): string => (error instanceof Error ? error.message : String(error))
