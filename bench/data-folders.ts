import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { registerAccounts } from './client/accounts.ts'
import { makeFolder } from './processes.ts'
import type { Launcher, Setup } from './servers/server.ts'

const prepared = new Map<string, { readonly folder: string; readonly accounts: number }>()

/** A fresh copy of a data folder with the accounts u0…: making a thousand accounts takes longer than most rows. */
export async function folderWithAccounts(launcher: Launcher, setup: Setup, accounts: number): Promise<string> {
  const key = `${launcher.name}-${setup.passwords}`
  let source = prepared.get(key)
  if (source === undefined || source.accounts < accounts) {
    source = { folder: await prepare(launcher, setup, accounts), accounts }
    prepared.set(key, source)
  }
  const copy = makeFolder(launcher.name)
  cpSync(source.folder, copy, { recursive: true })
  return copy
}

async function prepare(launcher: Launcher, setup: Setup, accounts: number): Promise<string> {
  const folder = makeFolder(`${launcher.name}-accounts`)
  const server = await launcher.start({ ...setup, ledger: 'off', archive: false }, folder)
  try {
    await registerAccounts({ kind: 'tcp', port: server.ports.c2s, domain: server.domain }, accounts)
  } finally {
    await server.end()
  }
  rmSync(join(folder, 'bench.log'), { force: true })
  return folder
}
