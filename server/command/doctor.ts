import { promises as dns } from 'node:dns'
import { resolve } from 'node:path'
import { systemClock } from '#server/base/clock.ts'
import type { Config } from '#server/base/config.ts'
import { type ConfigurationOptions, configurationFile, dataOverride, readConfiguration } from './configuration.ts'
import { examineCertificate } from './doctor-certificate.ts'
import { examineDns, type Resolver } from './doctor-dns.ts'
import { examineClock, examineFileLimit, examineNode, examineStorage } from './doctor-machine.ts'
import { examinePorts } from './doctor-ports.ts'
import { examineServer } from './doctor-server.ts'
import type { Finding } from './finding.ts'
import type { ServerSeam } from './server-seam.ts'
import type { Terminal } from './terminal.ts'

const MARKS = { good: 'ok  ', doubtful: 'warn', bad: 'FAIL' } as const

/** Examines everything outside of the program that a server depends on, and says what to do about it; exits with 1 when something is bad. */
export const doctor = async (terminal: Terminal, server: ServerSeam, options: ConfigurationOptions): Promise<void> => {
  const config = readConfiguration(configurationFile(options), server.modules, dataOverride(options))
  const file = configurationFile(options)
  terminal.out(file === undefined ? 'No configuration file: everything has its default.' : `Configuration: ${resolve(file)}`)
  const findings = await examine(config)
  for (const finding of findings) {
    terminal.out(`${MARKS[finding.kind]}  ${finding.what}`)
    if (finding.kind !== 'good') terminal.out(`      ${finding.fix}`)
  }
  const count = (kind: Finding['kind']): number => findings.filter((each) => each.kind === kind).length
  terminal.out(`${count('good')} good, ${count('doubtful')} doubtful, ${count('bad')} bad.`)
  if (count('bad') > 0) terminal.exitWith(1)
}

const DNS_TIMEOUT_MS = 3000

const systemResolver = (): Resolver => {
  const resolver = new dns.Resolver({ timeout: DNS_TIMEOUT_MS, tries: 2 })
  return {
    srv: (name) => resolver.resolveSrv(name),
    addresses: async (name) => {
      const found = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)])
      return found.flatMap((each) => (each.status === 'fulfilled' ? each.value : []))
    },
  }
}

const examine = async (config: Config): Promise<readonly Finding[]> => {
  const nowMs = systemClock.nowMs()
  return [
    examineNode(process.versions.node),
    ...examineClock(nowMs, config.data),
    ...examineStorage(config.data),
    ...examineFileLimit(),
    ...examineCertificate(config, nowMs),
    ...(await examineServer(config)),
    ...(await examinePorts(config)),
    ...(await examineDns(config, systemResolver())),
  ]
}
