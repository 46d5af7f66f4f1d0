import { openDriver } from '../open.ts'
import { accountsContract } from './accounts.ts'
import { documentsContract } from './documents.ts'
import { expiringContract } from './expiring.ts'
import { logContract } from './log.ts'
import type { Subject } from './subject.ts'

const memory: Subject = {
  name: 'memory',
  isPersistent: false,
  place: async (options) => ({ open: () => openDriver({ kind: 'memory' }, options), remove: async () => {} }),
}

for (const subject of [memory]) {
  accountsContract(subject)
  documentsContract(subject)
  expiringContract(subject)
  logContract(subject)
}
