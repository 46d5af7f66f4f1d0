import { expect } from 'vitest'
import { nullLog } from '#server/base/log.ts'
import { conversation, type Scene } from '#server/testing/conversation.ts'
import { listening } from '#server/testing/listening.ts'
import { HttpServer } from '#server/transport/http.ts'
import { hostMeta } from './host-meta.ts'

const options = { modules: [hostMeta], carriers: ['memory'] } as const

const fetching = async ({ server }: Scene) => {
  const { port } = await listening([
    { security: 'none', service: new HttpServer({ routes: server.http, upgrades: {}, log: nullLog }) },
  ])
  return (path: string) => fetch(`http://127.0.0.1:${port}${path}`, { headers: { Origin: 'https://elsewhere.example' } })
}

conversation('XEP-0156 §2.3: host-meta names the WebSocket in XML', { ...options, isDev: true }, async (scene) => {
  const response = await (await fetching(scene))('/.well-known/host-meta')
  expect(response.headers.get('content-type')).toBe('application/xrd+xml; charset=utf-8')
  expect(await response.text()).toBe(`<?xml version='1.0' encoding='utf-8'?>
<XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'>
  <Link rel='urn:xmpp:alt-connections:websocket' href='ws://verona.example:5280/xmpp-websocket'/>
</XRD>
`)
})

conversation('XEP-0156 §2.3: host-meta.json names it in JSON', { ...options, isDev: true }, async (scene) => {
  const response = await (await fetching(scene))('/.well-known/host-meta.json')
  expect(response.headers.get('content-type')).toBe('application/json')
  expect(await response.json()).toEqual({
    links: [{ rel: 'urn:xmpp:alt-connections:websocket', href: 'ws://verona.example:5280/xmpp-websocket' }],
  })
})

conversation('XEP-0156 §3: pages from anywhere may read both', { ...options, isDev: true }, async (scene) => {
  const get = await fetching(scene)
  for (const path of ['/.well-known/host-meta', '/.well-known/host-meta.json'])
    expect((await get(path)).headers.get('access-control-allow-origin')).toBe('*')
})

conversation('XEP-0156 §2.2: an address without TLS is not announced', options, async (scene) => {
  const response = await (await fetching(scene))('/.well-known/host-meta.json')
  expect(await response.json()).toEqual({ links: [] })
})
