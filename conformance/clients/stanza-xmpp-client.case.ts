import { playStory } from './scenario.ts'
import { stanzaOverWebSocket } from './stanza.ts'
import { xmppClientOverTcp } from './xmpp-client.ts'

playStory({ juliet: stanzaOverWebSocket, romeo: xmppClientOverTcp })
