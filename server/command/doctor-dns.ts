import { isIP } from 'node:net'
import type { CoreConfig } from '#server/base/config.ts'
import type { Finding } from './finding.ts'

/** The questions that the doctor asks of DNS. */
export interface Resolver {
  srv(
    name: string,
  ): Promise<readonly { readonly name: string; readonly port: number; readonly priority: number; readonly weight: number }[]>
  /** IPv4 and IPv6 addresses; none when there is no such name. */
  addresses(name: string): Promise<readonly string[]>
}

/** The port that clients try when there is no SRV record (RFC 6120 §3.2.2). */
const FALLBACK_PORT = 5222

/** Whether clients find the server by its domain: SRV records of RFC 6120 §3.2 and XEP-0368, or an address. */
export const examineDns = async (config: CoreConfig, resolver: Resolver): Promise<readonly Finding[]> => {
  const { domain } = config
  const { c2s, tls } = config.listen
  if (domain === 'localhost' || domain.endsWith('.localhost') || isIP(domain) !== 0)
    return [{ kind: 'good', what: `${domain} needs no DNS` }]
  const findings: Finding[] = []
  let isFound = false
  for (const { service, port } of [
    { service: '_xmpp-client._tcp', port: c2s },
    { service: '_xmpps-client._tcp', port: tls },
  ]) {
    if (port === 'off') continue
    const examined = await examineService(`${service}.${domain}`, port, domain, resolver)
    isFound ||= examined.isFound
    findings.push(...examined.findings)
  }
  if (isFound) return findings
  const addresses = await resolver.addresses(domain)
  if (addresses.length === 0)
    return [
      ...findings,
      {
        kind: 'bad',
        what: `${domain} has no address in DNS, so nobody finds the server`,
        fix: `Add an A or AAAA record for ${domain}.`,
      },
    ]
  if (c2s !== FALLBACK_PORT)
    findings.push({
      kind: 'bad',
      what: `without SRV records clients try port ${FALLBACK_PORT}, but listen.c2s is ${c2s}`,
      fix: `Add the SRV record, or listen on ${FALLBACK_PORT}.`,
    })
  return [...findings, { kind: 'good', what: `${domain} is at ${addresses.join(', ')}` }]
}

const examineService = async (
  name: string,
  port: number,
  domain: string,
  resolver: Resolver,
): Promise<{ readonly isFound: boolean; readonly findings: readonly Finding[] }> => {
  const wanted = `${name}. 3600 IN SRV 0 5 ${port} ${domain}.`
  let records: Awaited<ReturnType<Resolver['srv']>>
  try {
    records = await resolver.srv(name)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : ''
    if (code === 'ENOTFOUND' || code === 'ENODATA')
      return {
        isFound: false,
        findings: [{ kind: 'doubtful', what: `there is no record ${name}`, fix: `Add to DNS: ${wanted}` }],
      }
    return {
      isFound: false,
      findings: [
        { kind: 'doubtful', what: `DNS does not answer for ${name} (${code})`, fix: 'Look at /etc/resolv.conf, and try again.' },
      ],
    }
  }
  const findings: Finding[] = []
  for (const record of records) {
    const label = `${name} points to ${record.name}:${record.port}`
    if ((await resolver.addresses(record.name)).length === 0)
      findings.push({
        kind: 'bad',
        what: `${label}, which has no address`,
        fix: `Add an A or AAAA record for ${record.name}; a CNAME is not allowed there.`,
      })
    else if (record.port !== port)
      findings.push({
        kind: 'doubtful',
        what: `${label}, but the server listens on ${port}`,
        fix: `Change it, unless something forwards that port: ${wanted}`,
      })
    else findings.push({ kind: 'good', what: label })
  }
  return { isFound: records.length > 0, findings }
}
