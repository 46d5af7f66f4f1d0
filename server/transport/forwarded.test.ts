import { expect, test } from 'vitest'
import { askerAddress } from './forwarded.ts'

test('a reverse proxy on this machine says for whom it speaks: the last address is its own word', () => {
  const headers = { 'x-forwarded-for': '203.0.113.7, 198.51.100.2' }
  for (const hop of ['127.0.0.1', '::1', '::ffff:127.0.0.1']) expect(askerAddress(hop, headers)).toBe('198.51.100.2')
  expect(askerAddress('127.0.0.1', { 'x-forwarded-for': '2001:DB8::1' })).toBe('2001:db8::1')
})

test('nobody else may say who they are, and nonsense says nothing', () => {
  expect(askerAddress('192.0.2.1', { 'x-forwarded-for': '198.51.100.2' })).toBe('192.0.2.1')
  for (const text of ['', 'unknown', '198.51.100.2, ', '_hidden', '198.51.100.2:443', '127.0.0.1\n'])
    expect(askerAddress('127.0.0.1', { 'x-forwarded-for': text })).toMatch(/^127\.0\.0\.1$/)
  expect(askerAddress('127.0.0.1', {})).toBe('127.0.0.1')
})
