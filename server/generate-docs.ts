import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { coreSchema } from './base/core-config.ts'
import { configPage, doap, modulesPage, xepsPage } from './docs-pages.ts'
import { modules as declared } from './modules/index.ts'
import { specifications } from './specifications.ts'

// Writes docs/config.md, docs/modules.md, docs/xeps.md and docs/doap.xml from what core and modules declare; with --check it only says whether they differ.

const FOLDER = new URL('../docs/', import.meta.url)

const modules = [...declared].sort((a, b) => (a.name < b.name ? -1 : 1))
const pages = {
  'config.md': configPage(coreSchema, modules),
  'modules.md': modulesPage(modules),
  'xeps.md': xepsPage([...modules, ...specifications]),
  'doap.xml': doap([...modules, ...specifications]),
}

const isCheck = process.argv.includes('--check')
const stale: string[] = []
for (const [name, text] of Object.entries(pages)) {
  const file = new URL(name, FOLDER)
  const before = existsSync(file) ? readFileSync(file, 'utf8') : undefined
  if (before === text) continue
  stale.push(`docs/${name}`)
  if (!isCheck) {
    mkdirSync(FOLDER, { recursive: true })
    writeFileSync(file, text)
  }
}
if (isCheck && stale.length > 0) {
  process.stderr.write(
    `${stale.join(', ')} ${stale.length === 1 ? 'is' : 'are'} not what the declarations say. Run: npm run docs\n`,
  )
  process.exitCode = 1
} else
  process.stdout.write(stale.length === 0 ? 'The pages are up to date.\n' : `${isCheck ? '' : 'Wrote '}${stale.join(', ')}.\n`)
