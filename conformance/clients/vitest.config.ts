import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['conformance/clients/**/*.case.ts'],
    // A scene waits for another program's reconnection, and for the end of a session's time to resume.
    testTimeout: 90_000,
    hookTimeout: 60_000,
    sequence: { concurrent: false },
    maxWorkers: 2,
    // A refused connection is part of the story, and stanza prints each one.
    silent: 'passed-only',
  },
})
