import { builtinModules } from 'node:module'

/**
 * Who may import whom, one entry a row of the table in docs/architecture.md. A folder may import itself, what its row names of ours, and what it
 * names from outside. Tests may import anything but what `conformance` and `bench` must reach through sockets.
 */

const node = (...names) => `^(node:)?(${names.join('|')})$`
const NODE = node(...builtinModules)
const packages = (...names) => names.map((name) => `^node_modules/(@types/)?${name}/`)

/** @type {readonly { folder: string, ours?: readonly string[], outside?: readonly string[], except?: readonly string[] }[]} */
const rows = [
  // domainToASCII is the IDNA of the platform, and the hash of capabilities its SHA. The tables are derived once, by hand.
  { folder: 'stanzas', outside: [node('url', 'buffer', 'crypto')], except: ['^stanzas/derive-[^/]+\\.ts$'] },
  {
    folder: 'storage',
    ours: ['^stanzas/', '^server/base/'],
    outside: [NODE],
    except: ['^storage/contract/', '^storage/sqlite/', '^storage/mongo/'],
  },
  {
    folder: 'storage/contract',
    ours: ['^stanzas/', '^storage/', '^server/base/'],
    outside: [NODE, ...packages('vitest', 'fast-check', 'mongodb', 'mongodb-memory-server-core')],
  },
  {
    folder: 'storage/sqlite',
    ours: ['^stanzas/', '^storage/[^/]+$', '^server/base/'],
    outside: [NODE, ...packages('better-sqlite3')],
  },
  { folder: 'storage/mongo', ours: ['^stanzas/', '^storage/[^/]+$', '^server/base/'], outside: [NODE, ...packages('mongodb')] },
  {
    folder: 'server/base',
    ours: ['^stanzas/'],
    outside: [NODE, ...packages('valibot', 'yaml', 'pino', 'pino-pretty', 'prom-client')],
  },
  {
    folder: 'server/core',
    ours: ['^stanzas/', '^storage/shapes\\.ts$', '^storage/storage-error\\.ts$', '^server/base/'],
    outside: [NODE, ...packages('bcrypt')],
  },
  {
    folder: 'server/stream',
    ours: ['^stanzas/', '^storage/shapes\\.ts$', '^server/base/', '^server/core/'],
    outside: [node('crypto', 'tls', 'buffer'), ...packages('bcrypt')],
  },
  {
    folder: 'server/transport',
    ours: ['^stanzas/', '^server/base/', '^server/core/', '^server/stream/'],
    outside: [NODE, ...packages('ws')],
  },
  {
    folder: 'server/federation',
    ours: ['^stanzas/', '^server/base/', '^server/core/', '^server/stream/', '^server/transport/'],
    outside: [node('dns', 'dns/promises')],
  },
  {
    folder: 'server/cluster',
    ours: ['^stanzas/', '^server/base/', '^server/core/'],
    outside: [node('fs/promises', 'net', 'path'), ...packages('ioredis')],
    except: ['^server/cluster/contract/'],
  },
  {
    folder: 'server/cluster/contract',
    ours: ['^stanzas/', '^server/base/', '^server/core/', '^server/cluster/', '^server/testing/fake-clock\\.ts$'],
    outside: [NODE, ...packages('vitest', 'fast-check', 'ioredis')],
  },
  {
    folder: 'server/modules',
    ours: ['^stanzas/', '^storage/shapes\\.ts$', '^server/base/', '^server/core/'],
    except: ['^server/modules/upload\\.ts$'],
  },
  {
    folder: 'server/modules/upload\\.ts',
    ours: ['^stanzas/', '^storage/shapes\\.ts$', '^server/base/', '^server/core/', '^server/modules/'],
    outside: [node('fs', 'fs/promises', 'stream', 'stream/promises')],
  },
  { folder: 'conformance', ours: ['^stanzas/', '^bench/'], outside: ['.*'], isTestToo: true },
  // The health check, which runs in an image beside the server.
  { folder: 'docker', outside: [NODE], except: ['^docker/testing/'] },
  // What one part costs by itself is measured in the same process.
  { folder: 'bench', ours: ['^stanzas/', '^conformance/'], outside: ['.*'], except: ['^bench/micro/'], isTestToo: true },
]

// A child is a process that a test starts and kills.
const TEST = '\\.(test|child)\\.ts$'

const OURS = '^(stanzas|storage|server|conformance|bench|docker)/'

const rowRules = rows.flatMap(({ folder, ours = [], outside = [], except = [], isTestToo = false }) => {
  const from = {
    path: folder.endsWith('.ts') ? `^${folder}$` : `^${folder}/`,
    pathNot: [...except, ...(isTestToo ? [] : [TEST])],
  }
  const itself = folder.endsWith('.ts') ? [] : [`^${folder}/`]
  return [
    {
      name: `${folder}: of ours`,
      severity: 'error',
      comment: `${folder} may import itself${ours.length > 0 ? ` and ${ours.join(' ')}` : ''}.`,
      from,
      to: { path: OURS, pathNot: [...itself, ...ours] },
    },
    {
      name: `${folder}: from outside`,
      severity: 'error',
      comment:
        outside.length > 0
          ? `From outside, ${folder} may import ${outside.join(' ')}.`
          : `${folder} may import nothing from outside.`,
      from,
      to: { couldNotResolve: false, pathNot: [OURS, ...outside] },
    },
  ]
})

export default {
  forbidden: [
    {
      name: 'no cycles',
      severity: 'error',
      comment: 'Nothing waits for itself to be loaded. Types may refer to each other: they are gone when the program runs.',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    { name: 'everything resolves', severity: 'error', from: {}, to: { couldNotResolve: true } },
    ...rowRules,
    {
      name: 'server/testing: for tests only',
      severity: 'error',
      comment: 'Only *.test.ts and the contracts that they run may import server/testing.',
      from: { pathNot: [TEST, '^server/testing/', '^server/cluster/contract/'] },
      to: { path: '^server/testing/' },
    },
    {
      name: 'server/modules: the lead file only',
      severity: 'error',
      comment: 'A module may import another to name it in `needs`, never what is inside of it.',
      from: { path: '^server/modules/([^/]+?)(?:/|\\.ts$)', pathNot: TEST },
      to: { path: '^server/modules/[^/]+/', pathNot: ['^server/modules/([^/]+)/\\1\\.ts$', '^server/modules/$1/'] },
    },
    {
      name: 'storage: the way in',
      severity: 'error',
      comment: 'Only the composition root chooses a driver; everybody else names a shape.',
      from: { path: '^server/', pathNot: [TEST, '^server/[^/]+\\.ts$', '^server/(testing|command)/'] },
      to: { path: '^storage/', pathNot: '^storage/(shapes|storage-error)\\.ts$' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    parser: 'swc',
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
      extensions: ['.ts', '.mjs', '.js', '.d.ts'],
    },
    skipAnalysisNotInRules: true,
  },
}
