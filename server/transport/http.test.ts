import { readFileSync } from 'node:fs'
import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { describe, expect, test } from 'vitest'
import { recordingLog } from '#server/base/log.ts'
import type { HttpRoute } from '#server/core/http-route.ts'
import { dial, listening, localCertificates } from '#server/testing/listening.ts'
import { HttpServer } from './http.ts'

const HELLO: HttpRoute = {
  method: 'GET',
  path: '/hello',
  handle: (_, response) => response.send(200, { 'Content-Type': 'text/plain' }, 'héllo'),
}

const serving = async (...routes: HttpRoute[]) => {
  const { log, entries } = recordingLog()
  const { port } = await listening([{ security: 'none', service: new HttpServer({ routes, upgrades: {}, log }) }])
  const ask = (path: string, options: RequestOptions & { readonly body?: string } = {}) =>
    answerOf(httpRequest({ port, path, ...options }), options.body)
  return { port, ask, entries }
}

const answerOf = (request: ReturnType<typeof httpRequest>, body?: string) =>
  new Promise<{ status: number | undefined; headers: IncomingMessage['headers']; text: string }>((resolve, reject) => {
    request.on('error', reject).on('response', async (response) => {
      let text = ''
      for await (const chunk of response.setEncoding('utf8')) text += chunk
      resolve({ status: response.statusCode, headers: response.headers, text })
    })
    request.end(body)
  })

describe('routes', () => {
  test('a path answers its method, and HEAD like GET without the body', async () => {
    const { ask } = await serving(HELLO)
    const got = await ask('/hello?a=b')
    expect(got).toMatchObject({ status: 200, text: 'héllo', headers: { 'content-type': 'text/plain', 'content-length': '6' } })
    expect(await ask('/hello', { method: 'HEAD' })).toMatchObject({ status: 200, text: '', headers: { 'content-length': '6' } })
  })

  test('RFC 9110 §15.5.5, §15.5.6: elsewhere is 404, another method is 405 with those that are allowed', async () => {
    const { ask } = await serving(HELLO, { method: 'PUT', path: '/hello', handle() {} })
    expect((await ask('/goodbye')).status).toBe(404)
    expect(await ask('/hello', { method: 'DELETE' })).toMatchObject({
      status: 405,
      headers: { allow: 'GET, PUT, HEAD, OPTIONS' },
    })
  })

  test('a prefix answers what is below it, the longest first, and hands on the rest decoded', async () => {
    const { ask } = await serving(
      { method: 'GET', path: '/*', handle: (request, response) => response.send(200, {}, `root ${request.rest}`) },
      {
        method: 'GET',
        path: '/files/*',
        handle: (request, response) => response.send(200, {}, `file ${request.rest} ${request.query.get('v')}`),
      },
    )
    expect((await ask('/files/a%20b/c?v=1')).text).toBe('file a b/c 1')
    expect((await ask('/other')).text).toBe('root other')
  })

  test.each(['/files/../secret', '/files/%2e%2e/secret', '/files/..%2Fsecret', '/files/..%5Csecret', '/files/%00', '/files/%zz'])(
    'a path that would lead elsewhere once decoded is refused: %s',
    async (path) => {
      const { port } = await serving({
        method: 'GET',
        path: '/files/*',
        handle: (request, response) => response.send(200, {}, request.rest),
      })
      const { socket, inbox } = await dial(port)
      socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
      expect(await inbox.until('\r\n\r\n')).toContain('HTTP/1.1 400')
    },
  )

  test('two routes for one place refuse to start', () => {
    expect(() => new HttpServer({ routes: [HELLO, HELLO], upgrades: {}, log: recordingLog().log })).toThrow('GET /hello')
  })

  test('a handler that answers nothing gives 204, one that fails gives 500 and a line in the log', async () => {
    const { ask, entries } = await serving(
      { method: 'POST', path: '/done', handle() {} },
      { method: 'GET', path: '/broken', handle: () => Promise.reject(new Error('oh')) },
    )
    expect((await ask('/done', { method: 'POST' })).status).toBe(204)
    expect(await ask('/broken')).toMatchObject({ status: 500, text: '' })
    expect(entries).toEqual([expect.objectContaining({ level: 'error', event: 'http-handler-failed' })])
  })

  test('a body may be streamed', async () => {
    const { ask } = await serving({
      method: 'GET',
      path: '/stream',
      async handle(_, response) {
        await response.send(
          200,
          {},
          (async function* () {
            yield Buffer.from('one ')
            yield Buffer.from('two')
          })(),
        )
      },
    })
    expect((await ask('/stream')).text).toBe('one two')
  })
})

describe('bodies', () => {
  const echo: HttpRoute = {
    method: 'POST',
    path: '/echo',
    maxBodyBytes: 10,
    handle: async (request, response) => response.send(200, {}, await request.body()),
  }

  test('come whole', async () => {
    const { ask } = await serving(echo)
    expect((await ask('/echo', { method: 'POST', body: '0123456789' })).text).toBe('0123456789')
  })

  test('RFC 9110 §15.5.14: too large is 413, whether it says so before or shows it', async () => {
    const { ask } = await serving(echo)
    expect((await ask('/echo', { method: 'POST', body: '0123456789a' })).status).toBe(413)
    const chunked = { 'Transfer-Encoding': 'chunked' }
    expect((await ask('/echo', { method: 'POST', body: '0123456789a', headers: chunked })).status).toBe(413)
  })

  test('are not taken where no route asks for them', async () => {
    const { ask } = await serving(HELLO)
    expect((await ask('/hello', { body: 'x', headers: { 'Content-Length': '1' } })).status).toBe(413)
  })
})

describe('headers', () => {
  test('answers forbid sniffing and framing unless a route says otherwise', async () => {
    const page: HttpRoute = {
      method: 'GET',
      path: '/page',
      handle: (_, response) => response.send(200, { 'Content-Security-Policy': "default-src 'self'" }, ''),
    }
    const { ask } = await serving(HELLO, page)
    expect((await ask('/hello')).headers).toMatchObject({
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
    })
    expect((await ask('/page')).headers['content-security-policy']).toBe("default-src 'self'")
    expect((await ask('/nowhere')).headers['x-content-type-options']).toBe('nosniff')
  })

  test('CORS is for the routes that ask for it', async () => {
    const { ask } = await serving(HELLO, { ...HELLO, path: '/shared', cors: true })
    expect((await ask('/hello')).headers['access-control-allow-origin']).toBeUndefined()
    expect((await ask('/shared')).headers['access-control-allow-origin']).toBe('*')
    const preflight = await ask('/shared', { method: 'OPTIONS', headers: { Origin: 'https://verona.example' } })
    expect(preflight).toMatchObject({
      status: 204,
      headers: { 'access-control-allow-origin': '*', 'access-control-allow-methods': 'GET, HEAD, OPTIONS' },
    })
  })
})

test('the same server answers over TLS and says so to its routes', async () => {
  const certificates = localCertificates()
  const route: HttpRoute = {
    method: 'GET',
    path: '/',
    handle: (request, response) => response.send(200, {}, `${request.secure} ${request.remoteAddress}`),
  }
  const service = new HttpServer({ routes: [route], upgrades: {}, log: recordingLog().log })
  const { port } = await listening([{ security: 'direct', service }], { certificates })
  const ca = readFileSync(certificates.caPath ?? '')
  expect((await answerOf(httpsRequest({ host: '127.0.0.1', servername: 'localhost', port, path: '/', ca }))).text).toBe(
    'true 127.0.0.1',
  )
})

test('a client that asks for a protocol nobody speaks is refused', async () => {
  const { port } = await serving(HELLO)
  const { socket, inbox, closed } = await dial(port)
  socket.write('GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
  expect(await inbox.until('\r\n\r\n')).toContain('404')
  await closed
})
