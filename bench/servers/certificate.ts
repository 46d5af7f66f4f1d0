import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { generate } from 'selfsigned'
import { makeFolder } from '../processes.ts'
import { DOMAIN } from './server.ts'

export type Certificate = { readonly certFile: string; readonly keyFile: string; readonly bothFile: string }

let made: Promise<Certificate> | undefined

/** A certificate for the peers, made once per run: P-256, as Waxwing makes for itself. */
export function certificate(): Promise<Certificate> {
  made ??= make()
  return made
}

async function make(): Promise<Certificate> {
  const folder = makeFolder('certificate')
  const pems = await generate([{ name: 'commonName', value: DOMAIN }], { keyType: 'ec', curve: 'P-256', algorithm: 'sha256' })
  const files = { certFile: join(folder, 'cert.pem'), keyFile: join(folder, 'key.pem'), bothFile: join(folder, 'both.pem') }
  writeFileSync(files.certFile, pems.cert)
  writeFileSync(files.keyFile, pems.private)
  writeFileSync(files.bothFile, `${pems.cert}\n${pems.private}\n`)
  return files
}
