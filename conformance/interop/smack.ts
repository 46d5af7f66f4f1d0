import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { openRelay } from '../clients/relay.ts'
import { projectRoot, runToEnd, type ServerProcess } from '../server-process.ts'
import { startServer } from '../start-server.ts'
import { type Result, readLog, readResults, readStep } from './baseline.ts'

const mainClass = 'Suite'
const sources = ['Suite.java', 'Results.java'].map((name) => join(projectRoot, 'conformance', 'interop', name))
const jars = join(projectRoot, '.cache', 'conformance', 'smack')
const runTimeoutMs = 20 * 60_000
const replyTimeoutMs = 10_000
const xmppPort = 5222
const storePassword = 'changeit'

/** What to run of Smack's suite, and where its log goes. */
export type SmackOptions = {
  /** Simple names of test classes; empty runs them all. */
  readonly classes: readonly string[]
  readonly logFile: string
  /** Told of each test as it starts and ends. */
  readonly progress: (line: string) => void
}

/** Runs Smack's integration tests against a server of its own. */
export const runSmack = async (options: SmackOptions): Promise<readonly Result[]> => {
  if (!existsSync(jars)) throw new Error('Smack is not installed: run conformance/install.sh')
  const folder = await mkdtemp(join(tmpdir(), 'waxwing-smack-'))
  const server = await startServer()
  // Smack's framework can be told a host but no port, so the server gets port 5222 on a loopback address of its own.
  const address = `127.${oneOf254()}.${oneOf254()}.${oneOf254()}`
  const relay = await openRelay(server.ports.c2s, address, xmppPort)
  try {
    await runToEnd('javac', ['-cp', `${jars}/*`, '-d', folder, ...sources])
    await trust(server.caFile, join(folder, 'trust.p12'))
    const log = await runJava(javaArguments(folder, address, server, options.classes), options)
    const results = await readFile(join(folder, 'results'), 'utf8').catch(() => undefined)
    if (results !== undefined) return readResults(results)
    const why = `Smack's framework gave up: ${log.findLast((line) => line.startsWith('Exception in thread')) ?? log.at(-1)}`
    const reached = readLog(log)
    if (reached.length === 0) throw new Error(why)
    options.progress(why)
    return reached
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new Error(`${why}\nsee ${options.logFile}\n${server.logTail()}`)
  } finally {
    await relay.close()
    await server.stop()
    await rm(folder, { recursive: true, force: true })
  }
}

const oneOf254 = (): number => 1 + Math.floor(Math.random() * 254)

const trust = (caFile: string, store: string): Promise<void> => {
  const args = ['-importcert', '-noprompt', '-alias', 'server', '-file', caFile]
  return runToEnd('keytool', [...args, '-keystore', store, '-storetype', 'PKCS12', '-storepass', storePassword])
}

const javaArguments = (folder: string, address: string, server: ServerProcess, classes: readonly string[]): readonly string[] => {
  const settings: Readonly<Record<string, string>> = {
    'user.home': folder,
    'javax.net.ssl.trustStore': join(folder, 'trust.p12'),
    'javax.net.ssl.trustStorePassword': storePassword,
    'waxwing.results': join(folder, 'results'),
    'sinttest.service': server.domain,
    'sinttest.host': address,
    'sinttest.securityMode': 'required',
    'sinttest.replyTimeout': String(replyTimeoutMs),
    'sinttest.accountRegistration': 'inBandRegistration',
    'sinttest.defaultConnection': 'tcp',
    // The WebSocket connections look for HTTPS on port 443 of the domain, and the modular ones now and then wait for ever
    // in their TLS handshake, which ends the whole run: both stay out.
    'sinttest.enabledConnections': 'tcp',
    'sinttest.testRunResultProcessors': 'Results',
    ...(classes.length === 0 ? {} : { 'sinttest.enabledTests': classes.join(',') }),
  }
  const properties = Object.entries(settings).map(([name, value]) => `-D${name}=${value}`)
  return ['-Xmx512m', '-cp', `${folder}:${jars}/*`, ...properties, mainClass]
}

const runJava = async (args: readonly string[], { logFile, progress }: SmackOptions): Promise<readonly string[]> => {
  await mkdir(dirname(logFile), { recursive: true })
  const child = spawn('java', args, { stdio: ['ignore', 'pipe', 'pipe'] })
  const log: string[] = []
  for (const output of [child.stdout, child.stderr]) {
    createInterface(output).on('line', (line) => {
      log.push(line)
      const step = readStep(line)
      if (step !== undefined) progress(`${step.test}: ${step.said}`)
    })
  }
  const timer = setTimeout(() => {
    log.push(`killed: the tests did not end within ${runTimeoutMs / 60_000} minutes`)
    child.kill('SIGKILL')
  }, runTimeoutMs)
  await new Promise<void>((resolve, reject) => child.once('error', reject).once('close', () => resolve()))
  clearTimeout(timer)
  await writeFile(logFile, log.join('\n'))
  return log
}
