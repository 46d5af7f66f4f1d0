import type { Operations } from '#server/base/operations.ts'

/** Operations for tests that remember what they were asked and do nothing. */
export const recordingOperations = (): { readonly operations: Operations; readonly calls: unknown[][] } => {
  const calls: unknown[][] = []
  const note = (...call: unknown[]): Promise<void> => {
    calls.push(call)
    return Promise.resolve()
  }
  const operations: Operations = {
    addAccount: (...input) => note('addAccount', ...input),
    importAccount: (...input) => note('importAccount', ...input),
    deleteAccount: (...input) => note('deleteAccount', ...input),
    setPassword: (...input) => note('setPassword', ...input),
    setDisabled: (...input) => note('setDisabled', ...input),
    async listAccounts() {
      await note('listAccounts')
      return [{ jid: 'juliet@example.org', createdAtMs: 5, isDisabled: false }]
    },
    async listDevices(jid) {
      await note('listDevices', jid)
      return [
        {
          id: 'zeiP41HLglIu',
          software: 'Gajim',
          device: 'Laptop\u202e\u001b[2J',
          lastSeenMs: 5,
          isConnected: true,
          knowsPassword: true,
          hasToken: false,
        },
        { id: 'HjEEr45_LQr', lastSeenMs: 5, isConnected: false, knowsPassword: false, hasToken: true },
      ]
    },
    async revokeDevice(jid, id) {
      await note('revokeDevice', jid, id)
      return { knowsPassword: true }
    },
    async createInvite(request) {
      await note('createInvite', request)
      return { uri: 'xmpp:example.org?register', token: 't', expiresAtMs: 9 }
    },
    drain: (...input) => note('drain', ...input),
    async drainProgress() {
      await note('drainProgress')
      return { phase: 'leaving', clients: 2 }
    },
    async status() {
      await note('status')
      return { version: '1', domain: 'example.org', isRunning: true, sessions: 0, accounts: 1 }
    },
  }
  return { operations, calls }
}
