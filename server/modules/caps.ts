import { digest } from '#server/base/digest.ts'
import { defineModule } from '#server/core/module.ts'
import { capsHash } from '#stanzas/caps-hash.ts'
import type { DiscoInfo } from '#stanzas/disco-info.ts'
import { type Element, el } from '#stanzas/element.ts'
import { NS_CAPS } from '#stanzas/namespaces.ts'
import { disco } from './disco.ts'

/** What names the software (XEP-0115 §4). */
const NODE = 'https://waxwing.im'
/** XEP-0115 §9.1: the one that everybody supports. */
const HASH = 'sha-1'

/** Sends clients a hash of what the server can do, so that those who know it need not ask. */
export const caps = defineModule({
  name: 'caps',
  summary: 'Saves clients the question what the server can do, when they have asked one like it before.',
  xeps: { 'XEP-0115': '1.6.0' },
  features: { server: [NS_CAPS] },
  needs: { disco },

  start({ needs }) {
    let known: { readonly info: DiscoInfo; readonly ver: string; readonly offer: Element } | undefined
    const now = (): { readonly info: DiscoInfo; readonly ver: string; readonly offer: Element } => {
      const info = needs.disco.serverInfo()
      if (known?.info === info) return known
      const ver = capsHash(info, HASH, digest) ?? ''
      known = { info, ver, offer: el(NS_CAPS, 'c', { hash: HASH, node: NODE, ver }) }
      return known
    }
    needs.disco.addInfoNode((node) => {
      const { info, ver } = now()
      return node === `${NODE}#${ver}` ? info : undefined
    })
    return {
      streamFeatures: [
        {
          when: 'after-login',
          // XEP-0115 §6.3
          offer: () => now().offer,
        },
      ],
    }
  },
})
