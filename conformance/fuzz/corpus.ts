import { ofDevices } from './corpus-of-devices.ts'
import { body, type Dialogue, dialogue, end, HOME, header, iq, message } from './dialogue.ts'

const SASL = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'"
const SM = "xmlns='urn:xmpp:sm:3'"

const plain = (name: string, password: string): string =>
  `<auth ${SASL} mechanism='PLAIN'>${Buffer.from(`\0${name}\0${password}`).toString('base64')}</auth>`
const scramFirst = `<auth ${SASL} mechanism='SCRAM-SHA-256'>${Buffer.from('n,,n=fuzz1,r=fyko+d2lbbFgONRv9qkxdawL').toString('base64')}</auth>`
const scramFinal = `<response ${SASL}>${Buffer.from('c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=').toString('base64')}</response>`
const bind = iq('set', "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>desk</resource></bind>")
const session = iq('set', "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>")
const toServer = ` to='${HOME}'`

/** What honest clients say; every mutation begins with one of these. */
export const corpus: readonly [Dialogue, ...Dialogue[]] = [
  dialogue('nothing', header, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", end),
  dialogue('nothing', header, plain('fuzz1', 'wrong'), plain('nobody', 'wrong'), end),
  dialogue('nothing', header, scramFirst, scramFinal, end),
  dialogue('nothing', header, `<auth ${SASL} mechanism='SCRAM-SHA-1'>=</auth>`, `<response ${SASL}/>`, `<abort ${SASL}/>`, end),
  dialogue('nothing', header, iq('get', "<query xmlns='jabber:iq:register'/>", toServer), end),
  dialogue('nothing', header, bind, '<presence/>', message(`fuzz1@${HOME}`, 'chat', body), end),
  dialogue('nothing', header, ' \n ', `<enable ${SM} resume='true'/>`, end),
  dialogue(
    'login',
    header,
    bind,
    session,
    '<presence/>',
    message(`fuzz2@${HOME}`, 'chat', body),
    `<enable ${SM} resume='true'/>`,
  ),
  dialogue('login', header, `<resume ${SM} previd='c29tZXRoaW5nIG9sZA' h='3'/>`, bind, `<enable ${SM}/>`, `<r ${SM}/>`),
  dialogue(
    'bound',
    '<presence/>',
    "<presence><show>away</show><status xml:lang='en'>be right back</status><priority>5</priority></presence>",
    "<presence><priority>-1</priority><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='http://psi-im.org' ver='q07IKJEyjvHSyhy//CH0CxmKi8w='/></presence>",
    "<presence type='unavailable'/>",
  ),
  dialogue(
    'bound',
    `<presence to='fuzz2@${HOME}' type='subscribe'/>`,
    `<presence to='fuzz2@${HOME}' type='subscribed'/>`,
    `<presence to='fuzz3@${HOME}/desk'><status>hello</status></presence>`,
    `<presence to='fuzz2@${HOME}' type='unsubscribe'/>`,
    `<presence to='fuzz2@${HOME}' type='probe'/>`,
  ),
  dialogue(
    'bound',
    '<presence/>',
    message(`fuzz1@${HOME}`, 'chat', body),
    message(
      `fuzz2@${HOME}/desk`,
      'chat',
      `${body}<request xmlns='urn:xmpp:receipts'/><origin-id xmlns='urn:xmpp:sid:0' id='o1'/>`,
    ),
    message(`nobody@${HOME}`, 'normal', body),
    message(`fuzz3@${HOME}`, 'headline', '<subject>news</subject>'),
    message(`fuzz3@${HOME}`, 'groupchat', body),
    message(`fuzz3@${HOME}`, 'error', "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"),
    message('romeo@montague.example', 'chat', body),
  ),
  dialogue(
    'bound',
    iq('set', "<enable xmlns='urn:xmpp:carbons:2'/>"),
    message(`fuzz2@${HOME}`, 'chat', `${body}<private xmlns='urn:xmpp:carbons:2'/><no-copy xmlns='urn:xmpp:hints'/>`),
    message(
      `fuzz2@${HOME}`,
      'chat',
      "<composing xmlns='http://jabber.org/protocol/chatstates'/><no-store xmlns='urn:xmpp:hints'/>",
    ),
    message(
      `fuzz2@${HOME}`,
      'chat',
      "<displayed xmlns='urn:xmpp:chat-markers:0' id='m0'/><stanza-id xmlns='urn:xmpp:sid:0' by='fuzz2@localhost' id='1'/>",
    ),
    message(
      `fuzz1@${HOME}`,
      'chat',
      `<sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='2002-09-10T23:08:25Z'/><message xmlns='jabber:client' to='a@b'>${body}</message></forwarded></sent>`,
    ),
    "<inactive xmlns='urn:xmpp:csi:0'/>",
    "<active xmlns='urn:xmpp:csi:0'/>",
  ),
  dialogue(
    'bound',
    iq('get', "<query xmlns='jabber:iq:roster' ver=''/>"),
    iq(
      'set',
      `<query xmlns='jabber:iq:roster'><item jid='fuzz3@${HOME}' name='Tybalt &quot;cats&quot;'><group>Capulet</group></item></query>`,
    ),
    iq('set', `<query xmlns='jabber:iq:roster'><item jid='fuzz3@${HOME}' subscription='remove'/></query>`),
  ),
  dialogue(
    'bound',
    `<enable ${SM} resume='true' max='60'/>`,
    message(`fuzz1@${HOME}`, 'chat', body),
    `<r ${SM}/>`,
    `<a ${SM} h='1'/>`,
    message(`fuzz2@${HOME}`, 'chat', body),
    `<r ${SM}/>`,
    `<a ${SM} h='2'/>`,
  ),
  dialogue(
    'bound',
    iq('get', "<query xmlns='http://jabber.org/protocol/disco#info'/>", toServer),
    iq('get', "<query xmlns='http://jabber.org/protocol/disco#items'/>", toServer),
    iq('get', "<query xmlns='jabber:iq:version'/>", toServer),
    iq('get', "<time xmlns='urn:xmpp:time'/>", toServer),
    iq('get', "<query xmlns='jabber:iq:last'/>", ` to='fuzz2@${HOME}'`),
    iq('get', "<ping xmlns='urn:xmpp:ping'/>", ` to='fuzz2@${HOME}/desk'`),
    "<iq type='result' id='q7'/>",
    `<iq type='error' id='q8' to='fuzz2@${HOME}'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>`,
  ),
  dialogue(
    'bound',
    iq('get', "<vCard xmlns='vcard-temp'/>"),
    iq(
      'set',
      "<vCard xmlns='vcard-temp'><FN>Juliet</FN><PHOTO><TYPE>image/png</TYPE><BINVAL>iVBORw0KGgo=</BINVAL></PHOTO></vCard>",
    ),
    iq(
      'set',
      "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'><conference jid='a@b' name='x'/></storage></query>",
    ),
    iq('get', "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'/></query>"),
    iq('set', "<block xmlns='urn:xmpp:blocking'><item jid='tybalt@capulet.example'/></block>"),
    iq('set', "<unblock xmlns='urn:xmpp:blocking'/>"),
  ),
  dialogue(
    'bound',
    iq(
      'set',
      "<query xmlns='urn:xmpp:mam:2' queryid='f27'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>urn:xmpp:mam:2</value></field><field var='with'><value>fuzz2@localhost</value></field></x><set xmlns='http://jabber.org/protocol/rsm'><max>10</max><before/></set></query>",
    ),
    iq(
      'set',
      "<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='urn:xmpp:bookmarks:1'><item id='a@b'><conference xmlns='urn:xmpp:bookmarks:1' autojoin='true'/></item></publish></pubsub>",
    ),
    iq('get', "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:bookmarks:1'/></pubsub>"),
    iq('set', "<command xmlns='http://jabber.org/protocol/commands' node='list' action='execute'/>", toServer),
    iq('get', "<query xmlns='jabber:iq:register'/>", toServer),
    bind,
    session,
  ),
  ...ofDevices,
]
