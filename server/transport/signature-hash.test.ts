import { createHash, X509Certificate } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { signatureHash } from './signature-hash.ts'
import { serverEndPoint } from './tls.ts'

const certificates = [
  {
    name: 'ecdsa with SHA-1',
    signature: 'sha1',
    digest: 'sha256',
    der:
      'MIIBdDCCARqgAwIBAgIUIL2AqbJZ/5u/mqc8wkSXFjOKfgAwCQYHKoZIzj0EATAPMQ0wCwYDVQQDDARzaGExMCAXDTI2MTEyMjA1MjczNloYDz' +
      'IxMjYxMDI5MDUyNzM2WjAPMQ0wCwYDVQQDDARzaGExMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEo+hDSZZKuhJ5nUCJxBahqRHze7CTmBDV' +
      'sNQSKgKuEJTVdorFFLObvnYb+/1n0c5piYC2biGjibejaRlAXLq/vKNTMFEwHQYDVR0OBBYEFFKo410fVnz4u2Ti+VSOp8/mpFwlMB8GA1UdIw' +
      'QYMBaAFFKo410fVnz4u2Ti+VSOp8/mpFwlMA8GA1UdEwEB/wQFMAMBAf8wCQYHKoZIzj0EAQNJADBGAiEAxjl85zVPGTdviLnrjF7t62lw6xYx' +
      '4v9QpCT0oj2VqmwCIQCLJe3iEEfI9rZkkJt/yUhsKF8z2fHsPoVVZR2D04r0/w==',
  },
  {
    name: 'ecdsa with SHA-384',
    signature: 'sha384',
    digest: 'sha384',
    der:
      'MIIBeTCCAR+gAwIBAgIUH/dgSG4J38JJ5xYeiIg+ivydx1cwCgYIKoZIzj0EAwMwETEPMA0GA1UEAwwGc2hhMzg0MCAXDTI2MTEyMjA1MjczNl' +
      'oYDzIxMjYxMDI5MDUyNzM2WjARMQ8wDQYDVQQDDAZzaGEzODQwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARCJ8XM/ACG2GM4hLvkIouTNXz8' +
      'WHweUJN0syh/C6uIwiTBkXQBZ3Em6Ib5AamnHqldg+EZd8HU3SeoAY7/mPgto1MwUTAdBgNVHQ4EFgQUuo7Igzp9LccOH55DG18ya3KEmyswHw' +
      'YDVR0jBBgwFoAUuo7Igzp9LccOH55DG18ya3KEmyswDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAwNIADBFAiEAlWLgpt5y/qniZMruMnmd' +
      'o0JL6i8WcKUkihQ85+GJ+jMCIGBruIop+dXHOUQKe5oJVSOHBslF1PK741juAWuzjrwn',
  },
  {
    name: 'RSA with MD5',
    signature: 'md5',
    digest: 'sha256',
    der:
      'MIIB+jCCAWOgAwIBAgIULDWoWuKSS3Om7n3kOx250bYn0FswDQYJKoZIhvcNAQEEBQAwDjEMMAoGA1UEAwwDbWQ1MCAXDTI2MTEyMjA1MjczNl' +
      'oYDzIxMjYxMDI5MDUyNzM2WjAOMQwwCgYDVQQDDANtZDUwgZ8wDQYJKoZIhvcNAQEBBQADgY0AMIGJAoGBALmhx95d9eRE+RGpUtb3yuEh3M3R' +
      'lBMpPg5JOhODkNXLOV6oax+Gpy2DdO4WnxJ8b6l5ia/BwOyeH1+587RmW2/Q2GMiZ+6YfsfD9n9Et67Khtk7ItfGzHkaAHQPfeF+MEGVdkcdPf' +
      'cgVxlhjWgcgvzf93Y1vmN6jpsx4HFdZ/1ZAgMBAAGjUzBRMB0GA1UdDgQWBBTGDcn7z3vVkx7aQTNjiEuKd/te1jAfBgNVHSMEGDAWgBTGDcn7' +
      'z3vVkx7aQTNjiEuKd/te1jAPBgNVHRMBAf8EBTADAQH/MA0GCSqGSIb3DQEBBAUAA4GBAEaM0OD0GT7gg4ueQCk4DSMGn2XTR4fL2LwY07IQp/' +
      'JmtfSW9LHrlAmngSjqoJcjfRreGkIVqcRPB06zUyIeYt0OLf6tDw2WEBgBoBrNhefBEVJMQf2I+NCATNoUNynwB/cdcx0U67G7V8CWWTCnKY/D' +
      '1HW6Ar9q2Zg3WBfRC61l',
  },
  {
    name: 'RSA with SHA-512',
    signature: 'sha512',
    digest: 'sha512',
    der:
      'MIICADCCAWmgAwIBAgIUIFP0jLtfqnGPLuvlJRw/zTgrTiEwDQYJKoZIhvcNAQENBQAwETEPMA0GA1UEAwwGcnNhNTEyMCAXDTI2MTEyMjA1Mj' +
      'czNloYDzIxMjYxMDI5MDUyNzM2WjARMQ8wDQYDVQQDDAZyc2E1MTIwgZ8wDQYJKoZIhvcNAQEBBQADgY0AMIGJAoGBALmhx95d9eRE+RGpUtb3' +
      'yuEh3M3RlBMpPg5JOhODkNXLOV6oax+Gpy2DdO4WnxJ8b6l5ia/BwOyeH1+587RmW2/Q2GMiZ+6YfsfD9n9Et67Khtk7ItfGzHkaAHQPfeF+ME' +
      'GVdkcdPfcgVxlhjWgcgvzf93Y1vmN6jpsx4HFdZ/1ZAgMBAAGjUzBRMB0GA1UdDgQWBBTGDcn7z3vVkx7aQTNjiEuKd/te1jAfBgNVHSMEGDAW' +
      'gBTGDcn7z3vVkx7aQTNjiEuKd/te1jAPBgNVHRMBAf8EBTADAQH/MA0GCSqGSIb3DQEBDQUAA4GBACmqNYUOi7H+gZqBgeWJu/pQNezSkUqJMn' +
      'qQwf1BJdm7KjIPMR03T4h7CicChwIDyGkBPvMwprk2t2LiI638EAGNe2NVfgwCqIl/UoOnoQ7ZXulOojoUfe4+lU3b5mjGAP9aqTsufbgd/psk' +
      's0QyvoEQGWfuvJ63dchL38lIFYFn',
  },
  {
    name: 'RSASSA-PSS with SHA-384',
    signature: 'sha384',
    digest: 'sha384',
    der:
      'MIICYjCCAZegAwIBAgIUbYceuapVbQZi84pA6Q1JshiQyekwQQYJKoZIhvcNAQEKMDSgDzANBglghkgBZQMEAgIFAKEcMBoGCSqGSIb3DQEBCD' +
      'ANBglghkgBZQMEAgIFAKIDAgEwMA4xDDAKBgNVBAMMA3BzczAgFw0yNjExMjIwNTI3MzZaGA8yMTI2MTAyOTA1MjczNlowDjEMMAoGA1UEAwwD' +
      'cHNzMIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC5ocfeXfXkRPkRqVLW98rhIdzN0ZQTKT4OSToTg5DVyzleqGsfhqctg3TuFp8SfG+peY' +
      'mvwcDsnh9fufO0Zltv0NhjImfumH7Hw/Z/RLeuyobZOyLXxsx5GgB0D33hfjBBlXZHHT33IFcZYY1oHIL83/d2Nb5jeo6bMeBxXWf9WQIDAQAB' +
      'o1MwUTAdBgNVHQ4EFgQUxg3J+8971ZMe2kEzY4hLinf7XtYwHwYDVR0jBBgwFoAUxg3J+8971ZMe2kEzY4hLinf7XtYwDwYDVR0TAQH/BAUwAw' +
      'EB/zBBBgkqhkiG9w0BAQowNKAPMA0GCWCGSAFlAwQCAgUAoRwwGgYJKoZIhvcNAQEIMA0GCWCGSAFlAwQCAgUAogMCATADgYEALuHmJ/WA5/Pz' +
      'L/68AVYRwV7tMO7SdeOAS9kgK9JIV4eJWa1UeSLVJX88X4EkK2oekQKoaZpt5MCx5r6G9jfFGI/9KJaezaBVF4X3mVBr5oWjbem2DUrQ+h9qMZ' +
      'g/nSkLvvIgQWycSsDhThz78jQcNpOGsC4dDZE+Th1puNOOGbU=',
  },
  {
    name: 'RSASSA-PSS with its default, SHA-1',
    signature: 'sha1',
    digest: 'sha256',
    der:
      'MIICBjCCAWqgAwIBAgIUQndWGimD/acTkVt8LaZSZVtrUM0wEgYJKoZIhvcNAQEKMAWiAwIBajAPMQ0wCwYDVQQDDARwc3MxMCAXDTI2MTEyMj' +
      'A1MjczNloYDzIxMjYxMDI5MDUyNzM2WjAPMQ0wCwYDVQQDDARwc3MxMIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC5ocfeXfXkRPkRqVLW' +
      '98rhIdzN0ZQTKT4OSToTg5DVyzleqGsfhqctg3TuFp8SfG+peYmvwcDsnh9fufO0Zltv0NhjImfumH7Hw/Z/RLeuyobZOyLXxsx5GgB0D33hfj' +
      'BBlXZHHT33IFcZYY1oHIL83/d2Nb5jeo6bMeBxXWf9WQIDAQABo1MwUTAdBgNVHQ4EFgQUxg3J+8971ZMe2kEzY4hLinf7XtYwHwYDVR0jBBgw' +
      'FoAUxg3J+8971ZMe2kEzY4hLinf7XtYwDwYDVR0TAQH/BAUwAwEB/zASBgkqhkiG9w0BAQowBaIDAgFqA4GBAF2PtmbMykz5ydYRd9/KMGBTaJ' +
      'x2mUhO+YugvK/aM/eYLs+T5upwE0W8kXi0eHyeiV9/XTmJruLe9wBXAHAddliU5c74i+5Iyi6w3kdi7s2bLi4FJuSyjYJqdorw/aRqrBNM7ssP' +
      'WIP3+sSSpLndbOMZ08SQxqg37vR3rnUwlk34',
  },
  {
    name: 'Ed25519',
    signature: undefined,
    digest: undefined,
    der:
      'MIIBMDCB46ADAgECAhRJnWZM+SYBnQgS/hVL97qBTA5ncTAFBgMrZXAwDTELMAkGA1UEAwwCZWQwIBcNMjYxMTIyMDUyNzM2WhgPMjEyNjEwMj' +
      'kwNTI3MzZaMA0xCzAJBgNVBAMMAmVkMCowBQYDK2VwAyEAk+1NNyxQbzUv7VfuTDQ+0bi7Do1VZGMbqt8sK81U0gqjUzBRMB0GA1UdDgQWBBTM' +
      'rQ9tK4CuHHUeYvVfVqj16O5mXDAfBgNVHSMEGDAWgBTMrQ9tK4CuHHUeYvVfVqj16O5mXDAPBgNVHRMBAf8EBTADAQH/MAUGAytlcANBAMr306' +
      'zWrEBQlSrleFWlhCdzAD853Qo8ytf7UGZFJXyDnJ+e1S0916hbDmNSQpklF9ggJeDi/cvvdJQDGWE+2AE=',
  },
] as const

describe('RFC 5929 §4.1: tls-server-end-point', () => {
  test.each(certificates)('hashes a certificate signed by $name with $digest', ({ der, signature, digest }) => {
    const certificate = new X509Certificate(Buffer.from(der, 'base64'))
    expect(signatureHash(certificate.raw)).toBe(signature)
    const expected = digest === undefined ? undefined : createHash(digest).update(certificate.raw).digest()
    expect(serverEndPoint(certificate)).toEqual(expected)
  })

  test('reads no further than the bytes it is given', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat({ max: 300 }), (noise, cut) => {
        signatureHash(Buffer.from(noise))
        for (const { der } of certificates) signatureHash(Buffer.from(der, 'base64').subarray(0, cut))
      }),
    )
  })
})
