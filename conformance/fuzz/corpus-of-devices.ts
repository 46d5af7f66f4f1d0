import { body, type Dialogue, dialogue, end, HOME, header, iq, message } from './dialogue.ts'

const PUBSUB = "xmlns='http://jabber.org/protocol/pubsub'"
const OWNER = "xmlns='http://jabber.org/protocol/pubsub#owner'"
const TICKS = "xmlns='urn:waxwing:ticks:0'"
const SM = "xmlns='urn:xmpp:sm:3'"
const MAM = 'urn:xmpp:mam:2'
const toNodes = ` to='pubsub.${HOME}'`

const field = (name: string, ...values: readonly string[]): string =>
  `<field var='${name}'>${values.map((value) => `<value>${value}</value>`).join('')}</field>`
const form = (type: string, ...fields: readonly string[]): string =>
  `<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>${type}</value></field>${fields.join('')}</x>`
const set = (content: string): string => `<set xmlns='http://jabber.org/protocol/rsm'>${content}</set>`

// ---- quick login

const base64 = (text: string): string => Buffer.from(text).toString('base64')
const authenticate = (mechanism: string, initial: string, more: string): string =>
  `<authenticate xmlns='urn:xmpp:sasl:2' mechanism='${mechanism}'><initial-response>${base64(initial)}</initial-response><user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'><software>AwesomeXMPP</software><device>Kiva&apos;s Phone</device></user-agent>${more}</authenticate>`
const inline = (...features: readonly string[]): string =>
  `<bind xmlns='urn:xmpp:bind:0'><tag>Awesome</tag>${features.join('')}</bind>`
const everything = inline(
  "<enable xmlns='urn:xmpp:carbons:2'/>",
  "<inactive xmlns='urn:xmpp:csi:0'/>",
  `<enable ${SM} resume='true' max='60'/>`,
)
const requestToken = "<request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-NONE'/>"
const upgrade = "<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-512</upgrade>"
const resume = `<resume ${SM} previd='c29tZXRoaW5nIG9sZA' h='3'/>`
const useToken = (count: number): string => `<fast xmlns='urn:xmpp:fast:0' count='${count}'/>`

const logins: readonly Dialogue[] = [
  dialogue(
    'nothing',
    header,
    authenticate('PLAIN', '\0fuzz1\0secret', everything + requestToken),
    '<presence/>',
    message(`fuzz2@${HOME}`, 'chat', body),
    end,
  ),
  dialogue('nothing', header, authenticate('PLAIN', '\0fuzz2\0secret', resume + everything + requestToken + upgrade), end),
  dialogue(
    'nothing',
    header,
    authenticate('PLAIN', '\0fuzz3\0wrong', everything),
    authenticate('PLAIN', '\0fuzz3\0secret', inline()),
    '<presence/>',
    end,
  ),
  dialogue(
    'nothing',
    header,
    authenticate('SCRAM-SHA-256', 'n,,n=fuzz1,r=fyko+d2lbbFgONRv9qkxdawL', everything),
    `<response xmlns='urn:xmpp:sasl:2'>${base64('c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=')}</response>`,
    "<abort xmlns='urn:xmpp:sasl:2'><text>no more</text></abort>",
    end,
  ),
  dialogue(
    'nothing',
    header,
    authenticate('HT-SHA-256-NONE', `fuzz1\0${'x'.repeat(32)}`, useToken(1) + resume + everything),
    end,
  ),
  dialogue(
    'nothing',
    header,
    authenticate('PLAIN', '\0fuzz4\0secret', upgrade + everything),
    "<next xmlns='urn:xmpp:sasl:2' task='UPGR-SCRAM-SHA-512'/>",
    `<task-data xmlns='urn:xmpp:sasl:2'><hash xmlns='urn:xmpp:scram-upgrade:0'>${base64('x'.repeat(64))}</hash></task-data>`,
    end,
  ),
]

// ---- what a client can do

/** An answer to the server's question; it proves the hash that the dialogues below claim. */
export const capabilities =
  `<iq type='result' id='QUESTION' to='${HOME}'><query xmlns='http://jabber.org/protocol/disco#info' node='http://code.google.com/p/exodus#QgayPKawpkPSDYmwT/WM94uAlu0='>` +
  "<identity category='client' type='pc' name='Exodus 0.9.1'/><feature var='http://jabber.org/protocol/caps'/><feature var='http://jabber.org/protocol/disco#info'/>" +
  "<feature var='http://jabber.org/protocol/disco#items'/><feature var='http://jabber.org/protocol/muc'/>" +
  "<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'><value>urn:xmpp:dataforms:softwareinfo</value></field><field var='os'><value>Mac</value></field></x></query></iq>"
const claims = (ver: string, hash = 'sha-1'): string =>
  `<presence><c xmlns='http://jabber.org/protocol/caps' hash='${hash}' node='http://code.google.com/p/exodus' ver='${ver}'/></presence>`

// ---- archives, nodes, ticks

const query = (...parts: readonly string[]): string => iq('set', `<query xmlns='${MAM}' queryid='f27'>${parts.join('')}</query>`)
const pubsub = (type: 'get' | 'set', payload: string, to = ''): string => iq(type, `<pubsub ${PUBSUB}>${payload}</pubsub>`, to)
const owner = (type: 'get' | 'set', payload: string, to = ''): string => iq(type, `<pubsub ${OWNER}>${payload}</pubsub>`, to)
const NODE_CONFIG = 'http://jabber.org/protocol/pubsub#node_config'
const OPTIONS = 'http://jabber.org/protocol/pubsub#publish-options'
const TUNE = 'http://jabber.org/protocol/tune'
const tune = `<tune xmlns='${TUNE}'><artist>Yes</artist><length>686</length></tune>`

/** What the devices of an account say to the server: quick logins, archives, nodes, ticks. */
export const ofDevices: readonly Dialogue[] = [
  ...logins,
  dialogue('bound', claims('QgayPKawpkPSDYmwT/WM94uAlu0='), message(`fuzz2@${HOME}`, 'chat', body)),
  dialogue(
    'bound',
    claims('q07IKJEyjvHSyhy//CH0CxmKi8w='),
    claims('bm90IGEgaGFzaA==', 'sha-256'),
    "<presence type='unavailable'/>",
    claims('QgayPKawpkPSDYmwT/WM94uAlu0='),
  ),
  dialogue(
    'bound',
    message(`fuzz2@${HOME}`, 'chat', body),
    query(
      form(MAM, field('with', `fuzz2@${HOME}`), field('start', '2010-08-07T00:00:00Z'), field('end', '2030-01-01T00:00:00Z')),
      set('<max>5</max>'),
    ),
    query(
      form(MAM, field('ids', '00vb4k2s800', '00vb4k2s801'), field('after-id', '00vb4k2s800')),
      set('<max>10</max><after>00vb4k2s800</after>'),
    ),
    query(form(MAM, field('{urn:xmpp:fulltext:0}fulltext', 'soft window')), set('<before/><max>3</max>'), '<flip-page/>'),
    query(form(MAM, field('with', `fuzz2@${HOME}/desk`), field('include-groupchat', 'false')), set('<max>0</max>')),
    iq('get', `<query xmlns='${MAM}'/>`),
    iq('get', `<metadata xmlns='${MAM}'/>`),
    iq(
      'set',
      `<prefs xmlns='${MAM}' default='roster'><always><jid>fuzz2@${HOME}</jid></always><never><jid>tybalt@capulet.example</jid></never></prefs>`,
    ),
    iq('get', `<prefs xmlns='${MAM}'/>`),
    iq('set', `<query xmlns='${MAM}'/>`, ` to='fuzz2@${HOME}'`),
  ),
  dialogue(
    'bound',
    message(`fuzz2@${HOME}`, 'chat', `${body}<ephemeral xmlns='urn:xmpp:ephemeral:0' timer='5'/>`),
    message(`fuzz2@${HOME}`, 'chat', "<retract xmlns='urn:xmpp:message-retract:1' id='m1'/><store xmlns='urn:xmpp:hints'/>"),
    message(`fuzz2@${HOME}`, 'chat', `${body}<replace xmlns='urn:xmpp:message-correct:0' id='m1'/>`),
    message(`fuzz2@${HOME}`, 'chat', "<displayed xmlns='urn:xmpp:chat-markers:0' id='m1'/>"),
    message(`fuzz2@${HOME}`, 'error', "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"),
  ),
  dialogue(
    'bound',
    iq('set', `<enable ${TICKS}/>`),
    message(`fuzz2@${HOME}`, 'chat', body),
    iq('get', `<ticks ${TICKS}><tick id='00vb4k2s800'/><tick peer='fuzz2@${HOME}' message-id='m1'/></ticks>`),
    iq('get', `<ticks ${TICKS} peer='fuzz2@${HOME}'>${set('<max>5</max><before/>')}</ticks>`),
    iq('get', `<chats ${TICKS}>${set('<max>5</max>')}</chats>`),
    iq('get', `<inbox xmlns='urn:xmpp:inbox:1' unread-only='true' messages='false'>${set('<max>5</max>')}</inbox>`),
    iq('set', `<disable ${TICKS}/>`),
    iq('get', "<list xmlns='urn:xmpp:cam:0'/>"),
    iq('set', "<revoke xmlns='urn:xmpp:cam:0' id='x'/>"),
  ),
  dialogue(
    'bound',
    pubsub(
      'set',
      `<create node='n1'/><configure>${form(NODE_CONFIG, field('pubsub#title', 'Sonnets'), field('pubsub#access_model', 'open'), field('pubsub#max_items', 'max'))}</configure>`,
      toNodes,
    ),
    pubsub(
      'set',
      `<subscribe node='n1' jid='fuzz1@${HOME}'/><options>${form('http://jabber.org/protocol/pubsub#subscribe_options', field('pubsub#deliver', '1'))}</options>`,
      toNodes,
    ),
    pubsub('set', `<publish node='n1'><item id='i1'>${tune}</item><item>${tune}</item></publish>`, toNodes),
    pubsub('get', `<items node='n1' max_items='2'/>${set('<max>1</max><after>i1</after>')}`, toNodes),
    pubsub('get', `<items node='n1'><item id='i1'/></items>`, toNodes),
    pubsub('get', '<subscriptions/>', toNodes),
    pubsub('get', '<affiliations/>', toNodes),
    pubsub('get', `<options node='n1' jid='fuzz1@${HOME}'/>`, toNodes),
    owner('get', "<configure node='n1'/>", toNodes),
    owner(
      'set',
      `<configure node='n1'>${form(NODE_CONFIG, field('pubsub#access_model', 'whitelist'), field('pubsub#item_expire', '60'))}</configure>`,
      toNodes,
    ),
    owner('set', `<affiliations node='n1'><affiliation jid='fuzz2@${HOME}' affiliation='publisher'/></affiliations>`, toNodes),
    owner(
      'set',
      `<subscriptions node='n1'><subscription jid='fuzz2@${HOME}' subscription='subscribed'/></subscriptions>`,
      toNodes,
    ),
    pubsub('set', "<retract node='n1' notify='true'><item id='i1'/></retract>", toNodes),
    owner('set', "<purge node='n1'/>", toNodes),
    owner('set', `<delete node='n1'><redirect uri='xmpp:pubsub.${HOME}?;node=n2'/></delete>`, toNodes),
  ),
  dialogue(
    'bound',
    pubsub(
      'set',
      `<create node='c1'/><configure>${form(NODE_CONFIG, field('pubsub#node_type', 'collection'))}</configure>`,
      toNodes,
    ),
    pubsub('set', `<create node='l1'/><configure>${form(NODE_CONFIG, field('pubsub#collection', 'c1'))}</configure>`, toNodes),
    owner('set', "<collection node='c1'><dissociate node='l1'/></collection>", toNodes),
    owner('set', `<configure node='c1'>${form(NODE_CONFIG, field('pubsub#children', 'l1', 'l2'))}</configure>`, toNodes),
    iq('get', "<query xmlns='http://jabber.org/protocol/disco#items' node='c1'/>", toNodes),
    iq('get', "<query xmlns='http://jabber.org/protocol/disco#info' node='c1'/>", toNodes),
    owner('set', "<delete node='c1'/>", toNodes),
    owner('set', "<delete node='l1'/>", toNodes),
  ),
  dialogue(
    'bound',
    '<presence/>',
    pubsub('set', `<publish node='${TUNE}'><item>${tune}</item></publish>`),
    pubsub(
      'set',
      `<publish node='urn:xmpp:bookmarks:1'><item id='room@rooms.example'><conference xmlns='urn:xmpp:bookmarks:1' autojoin='true'><nick>J</nick></conference></item></publish><publish-options>${form(OPTIONS, field('pubsub#persist_items', 'true'), field('pubsub#access_model', 'whitelist'), field('pubsub#max_items', 'max'))}</publish-options>`,
    ),
    pubsub(
      'set',
      "<publish node='eu.siacs.conversations.axolotl.devicelist'><item id='current'><list xmlns='eu.siacs.conversations.axolotl'><device id='12345'/></list></item></publish>",
    ),
    pubsub(
      'set',
      "<publish node='urn:xmpp:avatar:metadata'><item id='111f4b3c50d7b0df729d299bc6f8e9ef9066971f'><metadata xmlns='urn:xmpp:avatar:metadata'><info bytes='12345' id='111f4b3c50d7b0df729d299bc6f8e9ef9066971f' type='image/png'/></metadata></item></publish>",
    ),
    pubsub('get', `<items node='${TUNE}'/>`, ` to='fuzz2@${HOME}'`),
    iq('get', "<query xmlns='http://jabber.org/protocol/disco#items'/>", ` to='fuzz2@${HOME}'`),
    pubsub('set', `<retract node='${TUNE}'><item id='current'/></retract>`),
  ),
]
