import { conversation } from '#server/testing/conversation.ts'
import { eventOf, listens, outcome, publishes } from '#server/testing/pep-stanzas.ts'
import { pep } from '../pep.ts'
import { presence } from '../presence.ts'

const modules = [presence, pep]

/** What people tell their contacts, which takes no more than a node. */
const TOLD = [
  ['XEP-0172: a nickname', 'http://jabber.org/protocol/nick', '<nick xmlns="http://jabber.org/protocol/nick">Jule</nick>'],
  [
    'XEP-0107: a mood',
    'http://jabber.org/protocol/mood',
    '<mood xmlns="http://jabber.org/protocol/mood"><happy><ecstatic xmlns="urn:moods"/></happy><text>Yay!</text></mood>',
  ],
  [
    'XEP-0118: a tune',
    'http://jabber.org/protocol/tune',
    '<tune xmlns="http://jabber.org/protocol/tune"><artist>Yes</artist><length>686</length><title>Heart of the Sunrise</title></tune>',
  ],
  ['XEP-0118: the end of a tune', 'http://jabber.org/protocol/tune', '<tune xmlns="http://jabber.org/protocol/tune"/>'],
  [
    'XEP-0080: a location',
    'http://jabber.org/protocol/geoloc',
    '<geoloc xmlns="http://jabber.org/protocol/geoloc" xml:lang="en"><country>Italy</country><lat>45.44</lat><lon>12.33</lon></geoloc>',
  ],
] as const

for (const [title, node, payload] of TOLD)
  conversation(`${title} reaches contacts and own devices that want to know, and nobody else`, { modules }, async (scene) => {
    const juliet = await listens(scene, 'juliet@verona.example/balcony')
    const chamber = await listens(scene, 'juliet@verona.example/chamber', node)
    const romeo = await listens(scene, 'romeo@verona.example/orchard', node)
    const mute = await listens(scene, 'romeo@verona.example/mute', 'urn:other')
    const tybalt = await listens(scene, 'tybalt@verona.example/square', node)
    await scene.befriend(juliet, romeo)
    for (const actor of [chamber, mute]) await actor.ignores()
    if ((await outcome(juliet, publishes(node, 'current', payload))) !== 'result') throw new Error('it was refused')
    for (const actor of [chamber, romeo]) await actor.receives(eventOf(node, 'current', payload, actor, juliet.bareJid))
    for (const actor of [juliet, chamber, romeo, mute, tybalt]) await actor.receivesNothing()
  })
