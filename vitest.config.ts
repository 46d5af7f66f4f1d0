import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['**/*.test.ts'],
    exclude: ['node_modules/**', '.cache/**'],
    testTimeout: 20_000,
    reporters: ['default', './server/testing/closing-words.ts'],
  },
})
