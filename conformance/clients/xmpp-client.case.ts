import { playStory } from './scenario.ts'
import { xmppClientOverTcp, xmppClientOverWebSocket } from './xmpp-client.ts'

playStory({ juliet: xmppClientOverTcp, romeo: xmppClientOverWebSocket })
